#!/usr/bin/env bash
# Builds every image that the guests boot from, as far as it is not in the cache, and names them in
# target/guest-images.env. Needs root and the packages of tests/packages.txt. With --soak those of `make soak` too; with
# --next those of `make next` alone, beside what is named there already.
#
#   KEYS    keys.sh     keys and certificates          STOCK   stock.sh   the distribution's kernel
#   UML     uml.sh      the trusted kernel for user-mode Linux
#   KERNEL  kernel.sh   the same for QEMU              BASE    base.sh    the guest without imad
#   IMAD    imad.sh     the guest with imad            REPO    imad.sh    the packages' disk, repo.img
#   CONTROL control.sh  an initramfs with dracut's own integrity module, for the guest without imad
#   SECURE  secure-boot.sh  firmware, keys and a signed kernel image for Secure Boot
#   SELINUX selinux.sh  the guest with imad and SELinux enforcing (--soak)
#   NEXT    next.sh     the second generation: a newer distribution and kernel (--next)
set -euo pipefail
# shellcheck source=tests/guest/images/cache.sh
. "$(dirname "$0")/cache.sh"

[ "$(id -u)" = 0 ] || die "images hold file owners, devices and security.ima: building them needs root"
target=$(cd "$here/../../.." && pwd)/target
mkdir -p "$target" "$IMAD_CACHE"
# One build at a time; a second one waits, and finds everything in the cache.
exec {lock}>"$IMAD_CACHE/.images.lock"
flock "$lock"
IMAD_SEEN=$(mktemp -d)
export IMAD_SEEN
trap 'rm -rf "$IMAD_SEEN"' EXIT

keys=$("$here/keys.sh")
if [ "${1-}" = --next ]; then
    next=$("$here/next.sh")
    {
        if [ -f "$target/guest-images.env" ]; then grep -vE '^(KEYS|NEXT)=' "$target/guest-images.env" || true; fi
        printf 'KEYS=%s\nNEXT=%s\n' "$keys" "$next"
    } >"$target/guest-images.env.new"
    mv "$target/guest-images.env.new" "$target/guest-images.env"
    exit
fi
uml=$("$here/uml.sh")
base=$("$here/base.sh")
control=$("$here/control.sh")
imad=$("$here/imad.sh")
kernel=$("$here/kernel.sh")
stock=$("$here/stock.sh")
secure=$("$here/secure-boot.sh")
# One initramfs serves both.
cmp "$uml/release" "$kernel/release" || die "the two trusted kernels call themselves by different names"
cat >"$target/guest-images.env.new" <<END
KEYS=$keys
UML=$uml
KERNEL=$kernel
STOCK=$stock
BASE=$base
CONTROL=$control
REPO=$imad
IMAD=$imad
SECURE=$secure
END
if [ "${1-}" = --soak ]; then
    selinux=$("$here/selinux.sh")
    echo "SELINUX=$selinux" >>"$target/guest-images.env.new"
fi
mv "$target/guest-images.env.new" "$target/guest-images.env"
