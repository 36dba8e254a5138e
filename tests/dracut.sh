#!/usr/bin/env bash
# Builds initramfs images with this host's dracut and the dracut module as it is installed, and looks into them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "$*" >&2; exit 1; }

BINARIES=${CARGO_TARGET_DIR:-target}/debug packaging/install.sh "$work/root"
# What RHEL's ima-setup leaves behind: dracut's own module, asked for.
mkdir -p "$work/conf"
cp "$work"/root/usr/lib/dracut/dracut.conf.d/*.conf "$work/conf/"
echo 'add_dracutmodules+=" integrity "' >"$work/conf/98-integrity.conf"

# image NAME ARGUMENT…: an image of the host's programs with ours laid over them, for this mount namespace alone.
image() {
    local name=$1
    shift
    # shellcheck disable=SC2016 # for the inner shell
    unshare --mount sh -c 'mount -t overlay -o "lowerdir=$0/root/usr:/usr" overlay /usr && exec "$@"' "$work" \
        dracut --force --no-hostonly --no-kernel --kver none --conf /dev/null --confdir "$work/conf" "$@" \
        "$work/$name.img" >"$work/$name.log" 2>&1 || { tail -n 30 "$work/$name.log" >&2; fail "dracut failed"; }
    lsinitrd "$work/$name.img" >"$work/$name.list"
}
has() { grep -qE "$2" "$work/$1.list" || fail "the $1 image has no $2"; }
has_no() { ! grep -E "$2" "$work/$1.list" || fail "the $1 image has $2"; }

image systemd --add systemd-initrd
has systemd ' usr/lib/imad/imad-boot$'
has systemd ' usr/lib/systemd/system/imad-boot.service$'
has systemd 'initrd.target.wants/imad-boot.service -> '
has systemd '/libcrypto\.so\.3$'
has_no systemd 'hooks/pre-pivot/.*(ima|evm)'
has_no systemd '^integrity$'
has_no systemd 'etc/(ima|keys|imad)'
if grep imad: "$work/systemd.log"; then fail "the module has something to say"; fi

# The program in the image finds its libraries there.
mkdir "$work/image"
(cd "$work/image" && lsinitrd --unpack "$work/systemd.img" 2>/dev/null)
chroot "$work/image" /usr/lib/imad/imad-boot --version
# No ordering cycle, and the units that ours is ordered by are there.
systemd-analyze verify --man=no --root="$work/image" initrd.target initrd-switch-root.target imad-boot.service 2>"$work/verify" ||
    fail "$(cat "$work/verify")"
[ ! -s "$work/verify" ] || fail "$(cat "$work/verify")"

image plain --omit "systemd systemd-initrd dracut-systemd systemd-udevd dbus dbus-daemon systemd-journald"
has plain 'hooks/pre-pivot/99-imad-boot.sh$'
has_no plain 'imad-boot.service'

# A policy in the image would be loaded there by systemd, before any key.
mkdir -p "$work/ima"
echo x >"$work/ima/ima-policy"
image policy --add systemd-initrd --include "$work/ima" /etc/ima --install /etc/ima/ima-policy
grep -q 'imad: /etc/ima/ima-policy must not be in the image' "$work/policy.log" || fail "nobody warns of a policy in the image"
