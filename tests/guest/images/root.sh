#!/usr/bin/env bash
# root.sh [SUITE] builds the guests' base root: the tree of tree.sh with every file of every package in the rpm database,
# signed and labelled. Prints the folder with root.img (ext4), rpms/ (the same packages) and counts.
set -euo pipefail
# shellcheck source=tests/guest/images/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=tests/guest/images/chroot.sh
. "$here/chroot.sh"
# shellcheck source=tests/guest/images/signing.sh
. "$here/signing.sh"
# shellcheck source=tests/guest/images/suite.sh
. "$here/suite.sh"

keys=$("$here/keys.sh")
tree=$("$here/tree.sh" "$suite")

# What specs written for Fedora and RHEL require, by the Debian package that holds it.
also() {
    printf '%s\t%s\n' base-files "system-release(releasever) = $version" base-files system-release base-files filesystem \
        dbus dbus-common libssl3t64 openssl-libs libsqlite3-0 sqlite-libs libsystemd0 systemd-libs udev systemd-udev \
        polkitd polkit polkitd polkit-libs libc6 'rtld(GNU_HASH)' libc6 glibc libc-bin glibc-common procps procps-ng iproute2 iproute \
        librpm10 rpm-libs ima-evm-utils evmctl passwd shadow-utils dbus-daemon dbus-daemon-common
}

# Everything below the root but what belongs to the running system or to no package on an RPM system either.
inventory() {
    (cd "$1" && find . -mindepth 1 -xdev \
        \( -path './dev/*' -o -path './proc/*' -o -path './sys/*' -o -path './run/*' -o -path './tmp/*' \
        -o -path './var/lib/rpm/*' -o -path './var/log/*' \) -prune -o -printf '%y\t%m\t%U\t%G\t/%P\n')
}

build() {
    local out=$1 work root attrs
    work=$(mktemp -d "$IMAD_CACHE/root.XXXXXX")
    # shellcheck disable=SC2064 # the name is known now
    trap "rm -rf '$work'" EXIT
    root=$work/root
    mkdir -p "$root" "$work/spec" "$work/attrs"
    tar --numeric-owner -C "$root" -xf "$tree/root.tar"

    # shellcheck disable=SC2016 # the words in ${} are dpkg's
    chroot "$root" dpkg-query -W -f \
        '${Package}\t${Version}\t${Architecture}\t${Pre-Depends}\t${Depends}\t${Provides}\t${binary:Summary}\n' \
        >"$work/packages"
    cp -a "$root/var/lib/dpkg/info" "$work/lists"
    local list
    for list in "$work"/lists/*:amd64.*; do mv "$list" "${list/:amd64/}"; done
    # dpkg knows these packages no longer: rpm does.
    find "$root/var/lib/dpkg" -mindepth 1 -maxdepth 1 ! -name alternatives -exec rm -rf {} +
    also >"$work/also"
    inventory "$root" >"$work/inventory"
    awk -v suite="$suite" -v number="$version" -v lists="$work/lists" -v out="$work/spec" -f "$here/spec.awk" \
        "$root/etc/passwd" "$root/etc/group" "$work/inventory" "$work/packages" "$work/also"

    # Libraries' sonames alone: what scripts and modules of Perl and Python need is in dpkg's relations.
    attrs=$(rpm --eval '%_rpmconfigdir')/fileattrs/elf.attr
    cp "$attrs" "$work/attrs/"
    rpmbuild -bb --quiet --nodeps --buildroot "$work/buildroot" --target x86_64 \
        --define "_topdir $work/rpmbuild" --define "_rpmdir $out/rpms" --define '_build_name_fmt %%{NAME}.rpm' \
        --define "_fileattrsdir $work/attrs" --define "root $root" --define 'debug_package %{nil}' \
        --define '__os_install_post %{nil}' --define '_build_id_links none' --define '_buildhost guest' \
        --define '_unpackaged_files_terminate_build 0' --define '_binaries_in_noarch_packages_terminate_build 0' \
        --define '_source_filedigest_algorithm 8' --define '_binary_filedigest_algorithm 8' \
        --define '_binary_payload w1.zstdio' "$work/spec/base.spec" >"$work/rpmbuild.log" 2>&1 ||
        { tail -n 40 "$work/rpmbuild.log" >&2; die "rpmbuild of the base packages failed"; }
    rm -rf "$work/buildroot"

    sign_rpm --key "$keys/ima.key" --cert "$keys/ima.pem" "$out"/rpms/*.rpm >&2
    # rpm 6.1.0 loses hold of a path of less than 16 bytes among several.
    shares=("$out/rpms:/srv/repo")
    # shellcheck disable=SC2016 # expanded in the root
    in_root "$root" sh -euc \
        'rpm -i --justdb --nodeps --noscripts --nosignature --replacefiles --ignoresize /srv/repo/*.rpm && dnf -q check' >&2
    rm -rf "$root"/var/cache/dnf "$root"/var/log/*.log*
    sign_rpm --label-root "$root" "$out"/rpms/*.rpm | tee "$out/counts" >&2
    unlabelled "$root" | tee -a "$out/counts" >&2
    make_image "$root" "$out/root.img" imad-root 1536M
    rm -rf "$work"
    trap - EXIT
}

# How many regular files there are, and which of them have no label.
unlabelled() {
    local all without
    all=$(find "$1" -xdev -type f | wc -l)
    without=$(find "$1" -xdev -type f ! -path '*/var/lib/rpm/*' -print0 |
        xargs -0 getfattr -h --absolute-names -m '^security\.ima$' -- 2>/dev/null | grep -c '^security.ima' || true)
    echo "$all regular files, $without labelled"
}

cached "$(of_suite root)" "$(recipe_hash "${BASH_SOURCE[0]}" "$here/suite.sh" "$here/spec.awk" "$here/chroot.sh" \
    "$here/signing.sh" "$tree/SHA256SUMS" "$keys/ima.pem" "$(signer_recipe)")" build
echo "$entry"
