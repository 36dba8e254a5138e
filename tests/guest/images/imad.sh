#!/usr/bin/env bash
# imad.sh [SUITE] builds the guest with imad: its packages, signed and in a repository; a root into which dnf has installed
# them, with certificate and policy in place; and the initramfs images. Prints the folder with
#
#   rpms/  repo.img (label imad-repo)  root.img  initrd-trusted.img  initrd-stock.img
#
# repo.img holds the repositories of packages.sh, rpm-plugin.sh (plugin) and updates.sh (updates, with a higher release of
# imad), and imad. Of another suite than trixie there is no initrd-stock.img, and no repository plugin or updates.
set -euo pipefail
# shellcheck source=tests/guest/images/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=tests/guest/images/chroot.sh
. "$here/chroot.sh"
# shellcheck source=tests/guest/images/signing.sh
. "$here/signing.sh"
# shellcheck source=tests/guest/images/initrd.sh
. "$here/initrd.sh"
# shellcheck source=tests/guest/images/repack.sh
. "$here/repack.sh"
# shellcheck source=tests/guest/images/suite.sh
. "$here/suite.sh"

keys=$("$here/keys.sh")
kernel=$("$here/$uml")
packages=$("$here/packages.sh" "$suite")
base=$("$here/base.sh" "$suite")
more=()
if [ "$suite" = trixie ]; then
    stock=$("$here/stock.sh")
    plugin=$("$here/rpm-plugin.sh")
    updates=$("$here/updates.sh")
    more=("$stock/SHA256SUMS" "$plugin/SHA256SUMS" "$updates/SHA256SUMS")
fi
scratch=$(mktemp -d "$IMAD_CACHE/imad.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
"$checkout/packaging/build-rpm.sh" "$scratch/rpms" >&2
rm -f "$scratch"/rpms/*.src.rpm

# What an administrator does after the installation.
configure() {
    local policy=usr/share/imad/policies/01-appraise-executable-and-lib-signatures
    install -D -m 644 "$1/ima.der" "$IMAD_ROOT/etc/keys/ima/ima.der"
    cp --preserve=xattr "$IMAD_ROOT/$policy" "$IMAD_ROOT/etc/ima/ima-policy"
    getfattr -h --absolute-names -n security.ima "$IMAD_ROOT/etc/ima/ima-policy" >/dev/null
}

# The repositories of trixie alone.
further() {
    local rpm
    cp -r "$plugin/plugin" "$updates/updates" "$scratch/repo/"
    for rpm in "$1"/rpms/*.rpm; do repack "$rpm" "$scratch/repacked"; done
    sign_rpm --key "$keys/ima.key" --cert "$keys/ima.pem" "$scratch"/repacked/*.rpm >&2
    mv "$scratch"/repacked/*.rpm "$scratch/repo/updates/"
    for rpm in plugin updates; do createrepo_c --quiet --no-database "$scratch/repo/$rpm" >&2; done
}

stock_initrd() {
    mkdir "$scratch/modules"
    tar -C "$scratch/modules" -xf "$stock/modules.tar"
    shares=("$scratch/modules:/usr/lib/modules")
    make_initrd "$1/root.img" "$1/initrd-stock.img" "$(cat "$stock/release")" \
        --drivers 'virtio_blk virtio_pci virtio_console virtio_rng ext4 autofs4' \
        --force-drivers 'virtio_blk virtio_pci virtio_console ext4'
    shares=()
}

build() {
    local out=$1
    mkdir -p "$out/rpms"
    cp "$scratch"/rpms/*.rpm "$out/rpms/"
    sign_rpm --key "$keys/ima.key" --cert "$keys/ima.pem" "$out"/rpms/*.rpm >&2
    cp -rl "$packages" "$scratch/repo"
    rm "$scratch/repo/SHA256SUMS"
    mkdir "$scratch/repo/imad"
    cp "$out"/rpms/*.rpm "$scratch/repo/imad/"
    createrepo_c --quiet --no-database "$scratch/repo/imad" >&2
    if [ "$suite" = trixie ]; then further "$out"; fi
    make_image "$scratch/repo" "$out/repo.img" imad-repo 256M

    cp --sparse=always "$base/root.img" "$out/root.img"
    install_packages "$out/root.img" "$scratch/repo" imad imad-dracut
    shares=("$scratch/repo:/srv/repo")
    # dnf starts faster in the guest when it knows the repositories already.
    in_root "$out/root.img" sh -euc 'systemctl -q enable imad.service; journalctl --update-catalog
        dnf -q makecache; rm -f /var/log/dnf* /var/log/hawkey*' >&2
    shares=()
    label_image "$out/root.img" "$out"/rpms/*.rpm
    export -f configure
    on_root "$out/root.img" bash -euc 'configure "$@"' configure "$keys"

    make_initrd "$out/root.img" "$out/initrd-trusted.img" "$(cat "$kernel/release")" --no-kernel
    if [ "$suite" = trixie ]; then stock_initrd "$out"; fi
}

cached "$(of_suite imad)" "$(recipe_hash "${BASH_SOURCE[0]}" "$here/chroot.sh" "$here/signing.sh" "$here/initrd.sh" \
    "$here/repack.sh" "$keys/ima.pem" "$kernel/release" "$packages/SHA256SUMS" "$base/SHA256SUMS" "${more[@]}" \
    "$(signer_recipe)" "$scratch"/rpms/*.rpm)" build
echo "$entry"
