#!/usr/bin/env bash
# Builds what labels are measured on: a root of packages of Debian trixie, documentation and all, as an ext4 image with
# 256-byte inodes, in three rpm databases of the same packages, whose file signatures are by a P-256, a P-384 and an
# RSA-2048 key. Prints the folder with
#
#   corpus.img    the root, without labels; /usr/lib/sysimage/rpm is a link to rpm-p256, beside it lie rpm-p384, rpm-rsa
#   *.der *.pem   the three certificates, which are in the root's /etc/keys/ima too
#   files         how many regular files there are, and how many bytes are in them
#
# The packages are unpacked, not configured. A quarter of an hour, and some 30 GB of room on the way.
set -euo pipefail
# shellcheck source=tests/guest/images/cache.sh
. "$(dirname "$0")/../guest/images/cache.sh"
# shellcheck source=tests/guest/images/mirror.sh
. "$here/mirror.sh"
# shellcheck source=tests/guest/images/signing.sh
. "$here/signing.sh"

keys=$("$here/keys.sh")
# Many small files (ansible, perl, Python, Go's library), few large ones (office, browser, compilers), a kernel.
packages=(systemd-sysv dbus polkitd rpm dnf dracut linux-image-amd64 openssh-server nginx postgresql git vim-runtime gcc
    golang-go clang openjdk-21-jre-headless python3-numpy python3-scipy ansible perl-doc texlive-latex-base
    libreoffice-core libreoffice-writer chromium nodejs qemu-system-x86 cockpit emacs-common locales manpages-dev)

# fetch WORK: the packages and what they depend on.
fetch() {
    local work=$1
    mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial"
    : >"$work/status"
    echo "deb $(mirror) trixie main" >"$work/sources.list"
    local apt=(apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::State="$work/apt" -o Dir::State::status="$work/status" -o Dir::Cache="$work/apt"
        -o APT::Install-Recommends=false -o APT::Sandbox::User=root)
    "${apt[@]}" update
    "${apt[@]}" -y --download-only install base-files base-passwd "${packages[@]}" >/dev/null
}

# unpack WORK: the packages into WORK/root, and what spec.awk reads of them.
unpack() {
    local work=$1 root=$1/root deb name
    mkdir -p "$root" "$work/lists"
    for deb in "$work"/apt/archives/base-files_*.deb "$work"/apt/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -C "$root" --keep-directory-symlink --numeric-owner -xf -
        name=$(dpkg-deb -f "$deb" Package)
        dpkg-deb --fsys-tarfile "$deb" | tar -tf - | sed 's,^\.,,; s,/$,,; /^$/d' >"$work/lists/$name.list"
        dpkg-deb --ctrl-tarfile "$deb" | tar -xOf - ./conffiles >"$work/lists/$name.conffiles" 2>/dev/null || true
        # shellcheck disable=SC2016 # the words in ${} are dpkg's
        dpkg-deb -W --showformat '${Package}\t${Version}\t${Architecture}\t\t\t\t${Package}\n' "$deb" >>"$work/all"
    done
    sort -u "$work/all" >"$work/packages"
    cp "$root/usr/share/base-passwd/passwd.master" "$work/passwd"
    cp "$root/usr/share/base-passwd/group.master" "$work/group"
    : >"$work/also"
    # spec.awk packages what belongs to no package too, and rpmbuild takes no empty package.
    echo bench >"$root/etc/hostname"
    (cd "$root" && find . -mindepth 1 -printf '%y\t%m\t%U\t%G\t/%P\n') >"$work/inventory"
}

# package WORK: the packages anew as RPM packages, into WORK/rpms, without looking into files for what they need.
package() {
    local work=$1
    mkdir -p "$work/spec" "$work/attrs"
    # rpmbuild wants one kind of file at least.
    echo '%__none_path ^$' >"$work/attrs/none.attr"
    awk -v lists="$work/lists" -v out="$work/spec" -f "$here/spec.awk" "$work/passwd" "$work/group" "$work/inventory" \
        "$work/packages" "$work/also"
    rpmbuild -bb --quiet --nodeps --buildroot "$work/buildroot" --target x86_64 \
        --define "_topdir $work/rpmbuild" --define "_rpmdir $work/rpms" --define '_build_name_fmt %%{NAME}.rpm' \
        --define "_fileattrsdir $work/attrs" --define "root $work/root" --define 'debug_package %{nil}' \
        --define '__os_install_post %{nil}' --define '_build_id_links none' --define '_buildhost bench' \
        --define '_unpackaged_files_terminate_build 0' --define '_binaries_in_noarch_packages_terminate_build 0' \
        --define '_source_filedigest_algorithm 8' --define '_binary_filedigest_algorithm 8' \
        --define '_binary_payload w.ufdio' "$work/spec/base.spec" >"$work/rpmbuild.log" 2>&1 ||
        { tail -n 40 "$work/rpmbuild.log" >&2; die "rpmbuild of the corpus failed"; }
    rm -rf "$work/buildroot"
}

# database WORK NAME KEY: signs the packages and installs them into a database of their own.
database() {
    local work=$1 name=$2 key=$3 rpm
    sign_rpm --key "$keys/$key.key" --cert "$keys/$key.pem" "$work"/rpms/*.rpm >&2
    rpm=(rpm --root "$work/root" --dbpath "/usr/lib/sysimage/rpm-$name" --define '_db_backend sqlite')
    "${rpm[@]}" -i --justdb --nodeps --noscripts --notriggers --nosignature --nodigest --replacefiles --ignoresize \
        --ignoreos --ignorearch "$work"/rpms/*.rpm
    install -D -m 644 "$keys/$key.der" "$work/root/etc/keys/ima/$name.der"
}

build() {
    local out=$1 work count size
    work=$(mktemp -d "$IMAD_CACHE/corpus.XXXXXX")
    # shellcheck disable=SC2064 # the name is known now
    trap "rm -rf '$work'" EXIT
    say "corpus: fetching"
    fetch "$work"
    say "corpus: unpacking $(find "$work/apt/archives" -name '*.deb' | wc -l) packages"
    unpack "$work"
    rm -rf "$work/apt"
    say "corpus: packaging"
    package "$work"
    say "corpus: signing"
    database "$work" p256 ima
    database "$work" p384 accepted/p384
    database "$work" rsa accepted/rsa
    ln -s rpm-p256 "$work/root/usr/lib/sysimage/rpm"
    rm -rf "$work/rpms"
    say "corpus: imaging"
    find "$work/root" -type f -printf '%s\n' | awk '{ n++; s += $1 } END { printf "%d %.0f\n", n, s }' >"$out/files"
    read -r count size <"$out/files"
    # A block for each label, and room to breathe.
    make_image "$work/root" "$out/corpus.img" imad-corpus "$(((size + count * 12288) / 1048576 + 1024))M"
    cp "$keys"/ima.{der,pem} "$keys"/accepted/{p384,rsa}.{der,pem} "$out/"
    rm -rf "$work"
    trap - EXIT
}

cached corpus "$(recipe_hash "${BASH_SOURCE[0]}" "$here/spec.awk" "$here/signing.sh" "$keys/SHA256SUMS" \
    "$(signer_recipe)")" build
echo "$entry"
