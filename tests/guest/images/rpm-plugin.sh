#!/usr/bin/env bash
# Builds rpm's own plugin "ima", which Debian's rpm packages lack, from the source package of the guest's rpm, and packages
# it as Fedora and RHEL do. The plugin alone: it takes nothing but rpm's public headers. Prints the folder with
# plugin/rpm-plugin-ima.rpm, signed. It needs the network.
set -euo pipefail
# shellcheck source=tests/guest/images/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=tests/guest/images/mirror.sh
. "$here/mirror.sh"
# shellcheck source=tests/guest/images/signing.sh
. "$here/signing.sh"

keys=$("$here/keys.sh")
tree=$("$here/tree.sh")
version=$(sed -n 's/^rpm //p' "$tree/packages")
plugins=usr/lib/x86_64-linux-gnu/rpm-plugins

# fetch WORK: the source package, as apt verifies it by the archive's signatures.
fetch() {
    local options
    mkdir -p "$1"/apt/{state/lists,cache/archives}/partial
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) trixie main" >"$1/apt/sources.list"
    options=(-qq -o "Dir::State=$1/apt/state" -o "Dir::Cache=$1/apt/cache" -o "Dir::Etc::SourceList=$1/apt/sources.list"
        -o Dir::Etc::SourceParts=/dev/null -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update >&2
    (cd "$1" && apt-get "${options[@]}" --download-only source "rpm=$version" >&2) ||
        die "the archive has no source of rpm $version any more: remove $tree, so that the guests get what is there now"
    mkdir "$1/source"
    tar -C "$1/source" --strip-components=1 -xf "$1"/rpm_*.orig.tar.*
}

# compile WORK: the plugin, linked with the guest's libraries: Python loads rpm's library for itself alone, so a plugin
# that does not name it finds none of its functions under dnf.
compile() {
    local library=usr/lib/x86_64-linux-gnu
    mkdir "$1/guest"
    tar -C "$1/guest" -xf "$tree/root.tar" --wildcards "./$library/librpm.so.*" "./$library/librpmio.so.*"
    # What rpm's own build would find out about the system; the plugin needs no more than these.
    printf '#include <%s.h>\n' stdint string unistd sys/types >"$1/source/include/system.h"
    gcc -shared -fPIC -O2 -Wall -Wl,--no-as-needed -I "$1/source/include" -o "$1/ima.so" "$1/source/plugins/ima.c" \
        "$1/guest/$library"/librpm.so.?? "$1/guest/$library"/librpmio.so.?? >&2
}

package() {
    cat >"$1/plugin.spec" <<END
Name: rpm-plugin-ima
Version: ${version%%+*}
Release: 1
Summary: Labels files while their packages are installed
License: GPL-2.0-or-later
Requires: rpm

%description
rpm's own plugin: it writes the file signatures of packages into security.ima.

%install
install -D -m 755 $1/ima.so %{buildroot}/$plugins/ima.so
install -D -m 644 $1/source/plugins/macros.transaction_ima %{buildroot}/usr/lib/rpm/macros.d/macros.transaction_ima

%files
/$plugins/ima.so
/usr/lib/rpm/macros.d/macros.transaction_ima
END
    rpmbuild -bb --quiet --nodeps --target x86_64 --define "_topdir $1" --define "_rpmdir $2" --define '_buildhost guest' \
        --define '_build_name_fmt %%{NAME}.rpm' --define 'debug_package %{nil}' --define '_build_id_links none' \
        "$1/plugin.spec" >"$1/rpmbuild.log" 2>&1 || { tail -n 40 "$1/rpmbuild.log" >&2; die "rpmbuild of the plugin failed"; }
}

build() {
    local out=$1 work
    work=$(mktemp -d "$IMAD_CACHE/rpm-plugin.XXXXXX")
    # shellcheck disable=SC2064 # the name is known now
    trap "rm -rf '$work'" EXIT
    fetch "$work"
    compile "$work"
    mkdir "$out/plugin"
    package "$work" "$out/plugin"
    sign_rpm --key "$keys/ima.key" --cert "$keys/ima.pem" "$out"/plugin/*.rpm >&2
    rm -rf "$work"
    trap - EXIT
}

cached rpm-plugin "$(recipe_hash "${BASH_SOURCE[0]}" "$here/mirror.sh" "$here/signing.sh" "$tree/SHA256SUMS" \
    "$keys/ima.pem" "$(signer_recipe)")" build
echo "$entry"
