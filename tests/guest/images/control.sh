#!/usr/bin/env bash
# Builds the initramfs of the control: dracut's own module "integrity", as an administrator adds it, and nothing of imad,
# from the guest's root without imad. Prints the folder with initrd-integrity.img.
set -euo pipefail
# shellcheck source=tests/guest/images/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=tests/guest/images/chroot.sh
. "$here/chroot.sh"
# shellcheck source=tests/guest/images/initrd.sh
. "$here/initrd.sh"

kernel=$("$here/uml.sh")
base=$("$here/base.sh")

build() {
    local out=$1
    # dracut works in a copy: the image that is built from stays as its sums say.
    cp --sparse=always "$base/root.img" "$out/root.img"
    make_initrd "$out/root.img" "$out/initrd-integrity.img" "$(cat "$kernel/release")" --no-kernel --add integrity
    rm "$out/root.img"
}

cached control "$(recipe_hash "${BASH_SOURCE[0]}" "$here/chroot.sh" "$here/initrd.sh" "$base/SHA256SUMS" \
    "$kernel/release")" build
echo "$entry"
