#!/usr/bin/env bash
# Builds imad's RPM packages and their source package into OUTDIR, from the working tree as it is: tracked files with
# their changes, and new files that git does not ignore. Without a network, from vendored crates.
#
#   packaging/build-rpm.sh OUTDIR
#
# Kept in ${IMAD_CACHE:-~/.cache/imad}: the packages of the last two states of the sources, the vendored crates of a
# Cargo.lock, and cargo's target folder, so that only what changed is compiled.
set -euo pipefail

if [ $# != 1 ]; then
    echo "usage: $0 OUTDIR" >&2
    exit 2
fi
mkdir -p "$1"
outdir=$(cd "$1" && pwd)
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"
# shellcheck source=tests/guest/images/cache.sh
. "$top/tests/guest/images/cache.sh"

spec=packaging/imad.spec
version=$(sed -n 's/^Version:[[:space:]]*//p' "$spec")
[ "$version" = "$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)" ] ||
    die "$spec and Cargo.toml differ in the version"

# The tree's files, NUL-separated: tracked ones that are still there, and new ones.
tree() {
    local file
    git -C "$top" ls-files -z --cached --others --exclude-standard | LC_ALL=C sort -zu | while IFS= read -rd '' file; do
        if [ -e "$file" ] || [ -L "$file" ]; then printf '%s\0' "$file"; fi
    done
}

# Of content and names of all files but those that are in the source archive and in no package.
sources_hash() {
    { tree | grep -zvE '^((tests|\.ci)/|Makefile$|CONTRIBUTING\.md$|docs/[^/]*\.md$)' | xargs -0 sha256sum; rustc --version; rpmbuild --version; } | sha256sum | cut -c1-16
}

vendor() {
    cargo vendor --locked --quiet "$1/vendor" >/dev/null
    tar -C "$1" --remove-files -czf "$1/vendor.tar.gz" vendor
}

rpms() {
    local work=$IMAD_CACHE/rpmbuild crates=$2 options offline=()
    rm -rf "$work"
    mkdir -p "$work/SOURCES" "$work/BUILD"
    # Files get the time of packing: cargo must not take a changed file for one that it knows because it is old.
    tree | tar --null --files-from=- --transform "s,^,imad-$version/," --mtime=now --owner=0 --group=0 --numeric-owner \
        -czf "$work/SOURCES/imad-$version.tar.gz"
    ln "$crates/vendor.tar.gz" "$work/SOURCES/imad-$version-vendor.tar.gz"
    options=(--define "_topdir $work" --define "cargo_target_dir $IMAD_CACHE/rpm-target")
    if [ -f /etc/debian_version ]; then
        # Debian's packages are in no RPM database, so build requirements cannot be looked up; its rpmbuild lacks the
        # macros; the library's tests are part of `make check` and need not be compiled a second time.
        options+=(--nodeps --load "$top/packaging/debian.macros" --without check)
    fi
    if unshare --net true 2>/dev/null; then offline=(unshare --net); else say "no network namespace: relying on cargo's --offline alone"; fi
    CARGO_NET_OFFLINE=true "${offline[@]}" rpmbuild -ba "${options[@]}" "$spec" >&2
    find "$work/RPMS" "$work/SRPMS" -name '*.rpm' -exec mv -t "$1" {} +
    rm -rf "$work"
}

cached imad-vendor "$(recipe_hash Cargo.lock "$(cargo --version)")" vendor
crates=$entry
build() { rpms "$1" "$crates"; }
cached imad-rpms "$(sources_hash)" build
rm -f "$outdir"/imad-*.rpm
install -p -m 0644 -t "$outdir" "$entry"/*.rpm
