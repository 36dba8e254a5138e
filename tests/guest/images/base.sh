#!/usr/bin/env bash
# base.sh [SUITE] builds the guest without imad: the base root with the guest agent, and an initramfs for the trusted
# kernels that holds the agent. Prints the folder with root.img and initrd-base.img.
set -euo pipefail
# shellcheck source=tests/guest/images/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=tests/guest/images/chroot.sh
. "$here/chroot.sh"
# shellcheck source=tests/guest/images/signing.sh
. "$here/signing.sh"
# shellcheck source=tests/guest/images/initrd.sh
. "$here/initrd.sh"
# shellcheck source=tests/guest/images/suite.sh
. "$here/suite.sh"

root=$("$here/root.sh" "$suite")
packages=$("$here/packages.sh" "$suite")
kernel=$("$here/$uml")

build() {
    local out=$1
    cp --sparse=always "$root/root.img" "$out/root.img"
    install_packages "$out/root.img" "$packages" imad-guest-agent
    label_image "$out/root.img" "$packages"/base/imad-guest-agent-*.rpm
    make_initrd "$out/root.img" "$out/initrd-base.img" "$(cat "$kernel/release")" --no-kernel
}

cached "$(of_suite base)" "$(recipe_hash "${BASH_SOURCE[0]}" "$here/chroot.sh" "$here/signing.sh" "$here/initrd.sh" \
    "$packages/SHA256SUMS" "$root/SHA256SUMS" "$kernel/release" "$(signer_recipe)")" build
echo "$entry"
