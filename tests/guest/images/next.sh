#!/usr/bin/env bash
# Builds the second generation: Debian forky's system (systemd 262, rpm 6.1, dnf5, dracut 112) with imad, made as the
# usual guest, and Linux 7.3 for user-mode Linux. Prints the folder with
#
#   linux  config  release  root.img  initrd-next.img  repo.img
set -euo pipefail
# shellcheck source=tests/guest/images/cache.sh
. "$(dirname "$0")/cache.sh"

kernel=$("$here/uml-next.sh")
imad=$("$here/imad.sh" forky)

# The same files by other names: they take no space.
build() {
    ln "$kernel"/{linux,config,release} "$imad"/{root,repo}.img "$1/"
    ln "$imad/initrd-trusted.img" "$1/initrd-next.img"
}

cached next "$(recipe_hash "${BASH_SOURCE[0]}" "$kernel/SHA256SUMS" "$imad/SHA256SUMS")" build
echo "$entry"
