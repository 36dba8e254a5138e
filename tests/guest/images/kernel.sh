#!/usr/bin/env bash
# Builds the trusted guest kernel for QEMU: Debian's 6.12 source, tinyconfig and kernel-config.fragment, the test CA built
# in; and the same without IMA and EVM. Prints the folder with bzImage, config, System.map, release and bzImage-without-ima.
# Takes 8 to 31 minutes on two cores, then never again.
set -euo pipefail
# shellcheck source=tests/guest/images/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=tests/guest/images/kernel-tree.sh
. "$here/kernel-tree.sh"

fragment=$here/kernel-config.fragment
keys=$("$here/keys.sh")

build() {
    local out=$1
    kernel_tree /usr/src/linux-source-6.12.tar.xz
    configure "$fragment" "$keys/ca.pem"
    compile "$out/build.log" bzImage
    cp "$tree/arch/x86/boot/bzImage" "$tree/System.map" "$out/"
    cp "$tree/.config" "$out/config"
    make -s -C "$tree" kernelrelease >"$out/release"
    # The same tree, so that only what knows of IMA is compiled again.
    (cd "$tree" && scripts/config --disable INTEGRITY && make -s olddefconfig)
    ! grep -q '^CONFIG_IMA=y' "$tree/.config" || die "IMA cannot be switched off"
    compile "$out/build.log" bzImage
    cp "$tree/arch/x86/boot/bzImage" "$out/bzImage-without-ima"
    forget_tree
}

cached kernel "$(recipe_hash "${BASH_SOURCE[0]}" "$here/kernel-tree.sh" "$fragment" "$keys/ca.pem" \
    "$(dpkg-query -W -f '${Version}' linux-source-6.12)")" build
echo "$entry"
