#!/usr/bin/env bash
# Builds what shows how the cost of labels grows with their number: a root of 200,000 files of 2,000 bytes in twenty packages
# signed with P-256, as an ext4 image with 256-byte inodes, in three rpm databases of 1, 5 and 20 of the packages. Prints
# the folder with
#
#   corpus.img    the root, without labels; rpm-1, rpm-5 and rpm-20 in /usr/lib/sysimage, where rpm is a link to rpm-20
#   ima.der       the certificate, which is in the root's /etc/keys/ima too
#
# Five minutes, and some 4 GB of room on the way.
set -euo pipefail
# shellcheck source=tests/guest/images/cache.sh
. "$(dirname "$0")/../guest/images/cache.sh"
# shellcheck source=tests/guest/images/signing.sh
. "$here/signing.sh"

keys=$("$here/keys.sh")

# spec: the twenty packages.
spec() {
    local number
    printf '%s\n' 'Name: many' 'Version: 1' 'Release: 1' 'Summary: many files' 'License: none' 'BuildArch: noarch' '%description' 'Many files.' \
        '%install' 'mkdir -p %{buildroot} && cp -al %{root}/. %{buildroot}'
    for number in {01..20}; do
        printf '%s\n' "%package $number" 'Summary: ten thousand files' "%description $number" 'Files.' "%files $number" "/usr/share/many/$number"
    done
}

build() {
    local out=$1 work number count packages
    work=$(mktemp -d "$IMAD_CACHE/linear.XXXXXX")
    # shellcheck disable=SC2064 # the name is known now
    trap "rm -rf '$work'" EXIT
    for number in {01..20}; do
        mkdir -p "$work/root/usr/share/many/$number"
        head -c 20000000 /dev/zero | openssl enc -aes-128-ctr -K "$(printf '%032d' "$((10#$number))")" -iv 0 2>/dev/null |
            split -b 2000 -a 4 -d - "$work/root/usr/share/many/$number/file"
    done
    spec >"$work/many.spec"
    mkdir "$work/attrs"
    echo '%__none_path ^$' >"$work/attrs/none.attr"
    rpmbuild -bb --quiet --buildroot "$work/buildroot" --define "_topdir $work/rpmbuild" --define "_rpmdir $work/rpms" \
        --define '_build_name_fmt %%{NAME}.rpm' --define "_fileattrsdir $work/attrs" --define '_binary_payload w.ufdio' \
        --define "root $work/root" --define '__os_install_post %{nil}' --define '_source_filedigest_algorithm 8' \
        --define '_binary_filedigest_algorithm 8' "$work/many.spec" >"$work/rpmbuild.log" 2>&1 ||
        { tail -n 40 "$work/rpmbuild.log" >&2; die "rpmbuild of many files failed"; }
    sign_rpm --key "$keys/ima.key" --cert "$keys/ima.pem" "$work"/rpms/*.rpm >&2
    for count in 1 5 20; do
        mapfile -t packages < <(find "$work/rpms" -name '*.rpm' | sort | head -n "$count")
        rpm --root "$work/root" --dbpath "/usr/lib/sysimage/rpm-$count" --define '_db_backend sqlite' -i --justdb --nodeps \
            --nosignature --nodigest --ignoresize --ignoreos --ignorearch "${packages[@]}"
    done
    ln -s rpm-20 "$work/root/usr/lib/sysimage/rpm"
    install -D -m 644 "$keys/ima.der" "$work/root/etc/keys/ima/ima.der"
    mkdir -p "$work/root/proc" "$work/root/run"
    # A block for the content of each file, one for its label, and an inode for each 16 KiB.
    make_image "$work/root" "$out/corpus.img" imad-linear 4000M
    cp "$keys/ima.der" "$out/"
    rm -rf "$work"
    trap - EXIT
}

cached linear "$(recipe_hash "${BASH_SOURCE[0]}" "$here/signing.sh" "$keys/SHA256SUMS" "$(signer_recipe)")" build
echo "$entry"
