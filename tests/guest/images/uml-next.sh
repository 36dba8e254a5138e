#!/usr/bin/env bash
# Builds the second generation's trusted kernel for user-mode Linux: Linux 7.3 from trixie-backports, configured as
# uml.sh's but for what next-config.fragment says. Prints the folder with linux, config and release. Two to five minutes;
# the first time it needs the network.
set -euo pipefail
# shellcheck source=tests/guest/images/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=tests/guest/images/mirror.sh
. "$here/mirror.sh"
# shellcheck source=tests/guest/images/kernel-tree.sh
. "$here/kernel-tree.sh"

package=linux-source-7.3
keys=$("$here/keys.sh")

# fetch OUT: the package, as apt verifies it by the archive's signatures, from folders that are not the host's.
fetch() {
    local out=$1 options
    mkdir -p "$out"/apt/{state/lists,cache/archives}/partial
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) trixie-backports main" >"$out/apt/sources.list"
    options=(-qq -o "Dir::State=$out/apt/state" -o "Dir::Cache=$out/apt/cache" -o "Dir::Etc::SourceList=$out/apt/sources.list"
        -o Dir::Etc::SourceParts=/dev/null -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update >&2
    (cd "$out/apt" && apt-get "${options[@]}" download "$package" >&2) || die "trixie-backports has no $package"
    dpkg-deb -x "$out/apt/$package"_*.deb "$out/apt/root"
    mv "$out/apt/root/usr/src/$package.tar.xz" "$out/"
    rm -rf "$out/apt"
}

# The differences of both files; what the second takes away the first does not add.
differences() {
    awk 'NR == FNR { if ($1 == "without") gone[$2] = 1; print; next }
        $1 == "with" { name = $2; sub(/=.*/, "", name); if (name in gone) next }
        { print }' "$here/next-config.fragment" "$here/uml-config.fragment"
}

build() { build_uml "$1" "$source/$package.tar.xz" "$keys/ca.pem" <(differences); }

cached "$package" "$(declare -f fetch | sha256sum | cut -c1-16)" fetch
source=$entry
cached uml-next "$(recipe_hash "${BASH_SOURCE[0]}" "$here/kernel-tree.sh" "$(uml_fragment <(differences))" \
    "$keys/ca.pem" "$source/SHA256SUMS")" build
echo "$entry"
