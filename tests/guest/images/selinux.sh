#!/usr/bin/env bash
# Builds the guest with imad and SELinux enforcing, under Debian's policy "default". Prints the folder with root.img.
# It needs the network.
set -euo pipefail
# shellcheck source=tests/guest/images/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=tests/guest/images/mirror.sh
. "$here/mirror.sh"
# shellcheck source=tests/guest/images/chroot.sh
. "$here/chroot.sh"

imad=$("$here/imad.sh")

# install_policy TREE: the policy as its package compiles it, and the labels of files that it wants.
install_policy() {
    cp -a "$1/etc/selinux" "$IMAD_ROOT/etc/"
    printf 'SELINUX=enforcing\nSELINUXTYPE=default\n' >"$IMAD_ROOT/etc/selinux/config"
    mkdir "$1/target"
    mount --bind "$IMAD_ROOT" "$1/target"
    # The host's kernel need not know SELinux: the labels are extended attributes to it.
    chroot "$1" setfiles -m -F -r /target /etc/selinux/default/contexts/files/file_contexts /target
    umount "$1/target"
}

# adapt TREE: every domain may search every keyring, as Fedora's and RHEL's policies have it: IMA looks its keys up in the name
# of whoever executes something (docs/limits.md).
adapt() {
    echo '(allow domain domain (key (link search)))' >"$1/tmp/keys.cil"
    chroot "$1" semodule -n -i /tmp/keys.cil
}

build() {
    local out=$1 tree
    tree=$(mktemp -d "$IMAD_CACHE/selinux-tree.XXXXXX")
    # shellcheck disable=SC2064 # the name is known now
    trap "rm -rf '$tree'" EXIT
    mmdebstrap --quiet --mode=root --variant=minbase --format=directory --aptopt='APT::Install-Recommends "false"' \
        --include=systemd,systemd-sysv,dbus,polkitd,selinux-policy-default,policycoreutils \
        trixie "$tree" "$(mirror)" >"$out/mmdebstrap.log" 2>&1 || { tail -n 20 "$out/mmdebstrap.log" >&2; die "mmdebstrap failed"; }
    adapt "$tree" >&2
    [ -n "$(find "$tree/etc/selinux/default/policy" -name 'policy.*' -size +100k)" ] ||
        { tail -n 40 "$out/mmdebstrap.log" >&2; die "selinux-policy-default left no policy"; }
    cp --sparse=always "$imad/root.img" "$out/root.img"
    export -f install_policy
    on_root "$out/root.img" bash -euc 'install_policy "$@"' install_policy "$tree" >&2
    rm -rf "$tree" "$out/mmdebstrap.log"
    trap - EXIT
}

cached selinux "$(recipe_hash "${BASH_SOURCE[0]}" "$here/mirror.sh" "$here/chroot.sh" "$imad/SHA256SUMS")" build
echo "$entry"
