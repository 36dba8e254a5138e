#!/usr/bin/env bash
# Fetches the distribution's own kernel, Debian trixie's linux-image-amd64. Prints the folder with vmlinuz, config,
# release and modules.tar, what /usr/lib/modules holds on such a system.
set -euo pipefail
# shellcheck source=tests/guest/images/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=tests/guest/images/mirror.sh
. "$here/mirror.sh"

build() {
    local out=$1 root release
    root=$(mktemp -d "$IMAD_CACHE/stock-tree.XXXXXX")
    # shellcheck disable=SC2064 # the name is known now
    trap "rm -rf '$root'" EXIT
    mmdebstrap --quiet --mode=root --variant=extract --format=directory --aptopt='APT::Install-Recommends "false"' \
        --include=linux-image-amd64,dracut trixie "$root" "$(mirror)" >"$root.log" 2>&1 ||
        { tail -n 20 "$root.log" >&2; die "mmdebstrap of the distribution's kernel failed"; }
    rm "$root.log"
    release=$(find "$root/boot" -name 'vmlinuz-*' -printf '%f\n' | sed 's/^vmlinuz-//')
    [ -d "$root/usr/lib/modules/$release" ] || die "no modules of a kernel \"$release\""
    # depmod looks below /lib, which on an unpacked kernel package alone is not there.
    [ -e "$root/lib" ] || ln -s usr/lib "$root/lib"
    depmod -b "$root" "$release"
    cp "$root/boot/vmlinuz-$release" "$out/vmlinuz"
    cp "$root/boot/config-$release" "$out/config"
    echo "$release" >"$out/release"
    tar --owner=0 --group=0 -C "$root/usr/lib/modules" -cf "$out/modules.tar" "$release"
    rm -rf "$root"
    trap - EXIT
}

cached stock "$(recipe_hash "${BASH_SOURCE[0]}")" build
echo "$entry"
