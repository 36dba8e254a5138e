# shellcheck shell=bash
# Makes packages anew under a higher release: source this file after cache.sh.
#
#   repack FILE.rpm FOLDER [SCRIPTLETS]   the package FILE.rpm, its release followed by ".1", into FOLDER. Its files,
#                                         relations and scriptlets stay; each ELF file has one more word at its end,
#                                         so that no old label fits. The file SCRIPTLETS is added to the spec.

# repacked_spec FILE.rpm BUILDROOT: the spec, without scriptlets that come from elsewhere.
repacked_spec() {
    local version release
    version=$(rpm -qp --qf '%{VERSION}' "$1")
    release=$(rpm -qp --qf '%{RELEASE}' "$1")
    rpm -qp --qf 'Name: %{NAME}\nVersion: %{VERSION}\nRelease: %{RELEASE}.1\nSummary: %{SUMMARY}\nLicense: %{LICENSE}\nAutoReqProv: no\n' "$1"
    [ "$(rpm -qp --qf '%{ARCH}' "$1")" != noarch ] || echo 'BuildArch: noarch'
    # rpm writes the package's own name and its own abilities by itself; packages of one source want one release.
    rpm -qp --qf '[Requires: %{REQUIRENAME} %{REQUIREFLAGS:depflags} %{REQUIREVERSION}\n][Provides: %{PROVIDENAME} %{PROVIDEFLAGS:depflags} %{PROVIDEVERSION}\n]' "$1" |
        grep -vE '^Requires: (rpmlib|config)\(' | awk -v name="$(rpm -qp --qf '%{NAME}' "$1")" -v old="$version-$release" '
            $1 == "Provides:" && ($2 == name || index($2, name "(") == 1) { next }
            $NF == old { $NF = old ".1" }
            { print }'
    printf '%%description\nThe same once more.\n\n%%install\nmkdir -p %%{buildroot}\ncp -a %s/. %%{buildroot}/\n\n' "$2"
    local scriptlet
    for scriptlet in pre:PREIN post:POSTIN preun:PREUN postun:POSTUN posttrans:POSTTRANS; do
        [ "$(rpm -qp --qf "%{${scriptlet#*:}}" "$1")" = '(none)' ] ||
            { echo "%${scriptlet%:*}"; rpm -qp --qf "%{${scriptlet#*:}}\n\n" "$1" | sed 's/%/%%/g'; }
    done
}

# repacked_files FILE.rpm: its files as %files takes them.
repacked_files() {
    # A name's own glob characters are put in brackets, so that only the name itself fits.
    rpm -qp --qf '[%{FILEMODES:octal}\t%{FILEUSERNAME}\t%{FILEGROUPNAME}\t-%{FILEFLAGS:fflags}\t%{FILENAMES}\n]' "$1" |
        sed 's/[[*?{\\]/[&]/g; s/%/%%/g' | awk -F '\t' '
            {
                line = sprintf("%%attr(%s, %s, %s) ", $1 ~ /^12/ ? "-" : substr($1, length($1) - 3), $2, $3)
                if ($1 ~ /^4/) line = line "%dir "
                if ($4 ~ /g/) line = line "%ghost "
                else if ($4 ~ /c/) line = line ($4 ~ /n/ ? "%config(noreplace) " : "%config ")
                if ($4 ~ /l/) line = line "%license "
                else if ($4 ~ /d/) line = line "%doc "
                print line "\"" $5 "\""
            }'
}

repack() {
    local package=$1 folder=$2 scriptlets=${3:-} work mode flags file
    work=$(mktemp -d "$IMAD_CACHE/repack.XXXXXX")
    mkdir -p "$work/root" "$folder"
    rpm2cpio "$package" | (cd "$work/root" && cpio --quiet -idm --no-absolute-filenames)
    # What has no content of its own in the package.
    rpm -qp --qf '[%{FILEMODES:octal}\t-%{FILEFLAGS:fflags}\t%{FILENAMES}\n]' "$package" | while IFS=$'\t' read -r mode flags file; do
        file=$work/root$file
        mkdir -p "$(dirname "$file")"
        case $mode in
            4*) mkdir -p "$file" ;;
            *) if [[ $flags == *g* ]] && [ ! -e "$file" ]; then : >"$file"; fi ;;
        esac
    done
    find "$work/root" -type f -links 1 -print0 | while IFS= read -rd '' file; do
        if [ "$(head -c 4 "$file" | od -An -tx1 | tr -d ' ')" = 7f454c46 ]; then printf 'repacked' >>"$file"; fi
    done
    {
        repacked_spec "$package" "$work/root"
        if [ -n "$scriptlets" ]; then cat "$scriptlets"; echo; fi
        echo '%files'
        repacked_files "$package"
    } >"$work/repack.spec"
    rpmbuild -bb --quiet --nodeps --target x86_64 --buildroot "$work/buildroot" --define "_topdir $work/top" \
        --define "_rpmdir $folder" --define '_build_name_fmt %%{NAME}.rpm' --define '_buildhost guest' \
        --define 'debug_package %{nil}' --define '__os_install_post %{nil}' --define '_build_id_links none' \
        --define '_source_filedigest_algorithm 8' --define '_binary_filedigest_algorithm 8' \
        --define '_binaries_in_noarch_packages_terminate_build 0' --define '_binary_payload w1.zstdio' \
        "$work/repack.spec" >"$work/rpmbuild.log" 2>&1 ||
        { tail -n 40 "$work/rpmbuild.log" >&2; die "rpmbuild of $package failed"; }
    rm -rf "$work"
}
