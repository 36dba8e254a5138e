#!/usr/bin/env bash
# Builds the trusted guest kernel: Debian's 6.12 source, tinyconfig and kernel-config.fragment, the test CA built in;
# and the same without IMA and EVM. Prints the folder with bzImage, config, System.map, release and bzImage-without-ima.
# Takes 8 to 31 minutes on two cores, then never again.
set -euo pipefail
. "$(dirname "$0")/cache.sh"

fragment=$here/kernel-config.fragment
source=/usr/src/linux-source-6.12.tar.xz
keys=$("$here/keys.sh")

build() {
    local out=$1 tree line missing=0
    tree=$(mktemp -d "$IMAD_CACHE/kernel-tree.XXXXXX")
    # shellcheck disable=SC2064 # the name is known now
    trap "rm -rf '$tree'" EXIT
    tar -xf "$source" -C "$tree" --strip-components=1
    {
        cat "$fragment"
        echo "CONFIG_SYSTEM_TRUSTED_KEYS=\"$keys/ca.pem\""
        echo 'CONFIG_LOCALVERSION="-imad"'
    } >"$out/fragment"
    cd "$tree"
    make -s tinyconfig
    scripts/kconfig/merge_config.sh -m .config "$out/fragment" >"$out/merge.log"
    make -s olddefconfig
    while read -r line; do
        case $line in
        CONFIG_*) grep -qxF "$line" .config || { say "kernel configuration lost: $line"; missing=1; } ;;
        esac
    done <"$out/fragment"
    [ $missing = 0 ] || die "the kernel's configuration is not the one asked for"
    make -j"$(nproc)" bzImage >"$out/build.log" 2>&1 || { tail -n 40 "$out/build.log" >&2; die "kernel build failed"; }
    cp arch/x86/boot/bzImage .config System.map "$out/"
    mv "$out/.config" "$out/config"
    make -s kernelrelease >"$out/release"
    # The same tree, so that only what knows of IMA is compiled again.
    scripts/config --disable INTEGRITY
    make -s olddefconfig
    ! grep -q '^CONFIG_IMA=y' .config || die "IMA cannot be switched off"
    make -j"$(nproc)" bzImage >>"$out/build.log" 2>&1 || { tail -n 40 "$out/build.log" >&2; die "kernel build failed"; }
    cp arch/x86/boot/bzImage "$out/bzImage-without-ima"
    cd "$IMAD_CACHE"
    rm -rf "$tree"
    trap - EXIT
}

[ -f "$source" ] || die "$source is missing: install the packages of tests/packages.txt (tests/setup.sh)"
cached kernel "$(recipe_hash "${BASH_SOURCE[0]}" "$fragment" "$keys/ca.pem" "$(dpkg-query -W -f '${Version}' linux-source-6.12)")" build
echo "$entry"
