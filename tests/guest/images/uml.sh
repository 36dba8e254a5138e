#!/usr/bin/env bash
# Builds the trusted guest kernel for user-mode Linux: the same source and configuration as kernel.sh's, but for what
# uml-config.fragment takes away and adds. Prints the folder with linux, config and release. Two to five minutes.
set -euo pipefail
# shellcheck source=tests/guest/images/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=tests/guest/images/kernel-tree.sh
. "$here/kernel-tree.sh"

keys=$("$here/keys.sh")

build() { build_uml "$1" /usr/src/linux-source-6.12.tar.xz "$keys/ca.pem" "$here/uml-config.fragment"; }

# What justifies a difference is no part of the kernel.
cached uml "$(recipe_hash "${BASH_SOURCE[0]}" "$here/kernel-tree.sh" "$(uml_fragment "$here/uml-config.fragment")" \
    "$keys/ca.pem" "$(dpkg-query -W -f '${Version}' linux-source-6.12)")" build
echo "$entry"
