#!/usr/bin/env bash
# Judges the installed files that no compiler sees: units, message catalog, bus and polkit files, policies, manual pages,
# and that the spec and packaging/install.sh name the same files.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "$*" >&2; exit 1; }

# Programs need not be built for this: what is installed under their names does not matter here.
mkdir "$work/binaries"
for program in imad imactl imad-boot; do install -m 0755 /bin/true "$work/binaries/$program"; done
BINARIES=$work/binaries packaging/install.sh "$work/root"

# The daemon's unit: at most 2.5, and what it must not have, since labels could not be written or a full or read-only
# /var would keep it down (see the unit's comments).
systemd-analyze security --offline=true --threshold=25 --no-pager units/imad.service >"$work/security" ||
    fail "$(tail -n 1 "$work/security"): more than 2.5"
tail -n 1 "$work/security"
! grep -E '^(ProtectSystem|PrivateTmp|StateDirectory|RuntimeDirectory|PrivateNetwork|RestrictSUIDSGID|ProtectKernelModules|ProtectHome)=' units/imad.service ||
    fail "units/imad.service: this setting keeps imad from its work"

# Every unit is understood: systemd-analyze names unknown settings and wrong values. It runs over the installed programs.
unshare --mount sh -c "mount -t overlay -o lowerdir=$work/root/usr:/usr overlay /usr && systemd-analyze verify --man=no \
    $work/root/usr/lib/systemd/system/*.service /usr/lib/dracut/modules.d/50imad/imad-boot.service" 2>"$work/verify" ||
    fail "$(cat "$work/verify")"
! grep -E '(imad|50imad)[^ ]*\.service' "$work/verify" || fail "systemd-analyze verify has something to say"

# The catalog compiles, and the entries are ours.
mkdir -p "$work/catalog/usr/lib/systemd/catalog" "$work/catalog/var/lib/systemd/catalog"
cp conf/catalog/imad.catalog "$work/catalog/usr/lib/systemd/catalog/"
journalctl --root="$work/catalog" --update-catalog
[ "$(journalctl --root="$work/catalog" --list-catalog | grep -c ' imad: ')" = "$(grep -c '^-- ' conf/catalog/imad.catalog)" ] ||
    fail "conf/catalog/imad.catalog: not every entry was taken"

# XML is well-formed; the polkit actions are the four of the interface.
for file in conf/dbus/*.xml conf/dbus/*.conf conf/polkit/*.policy; do
    xmllint --noout --nonet "$file" || fail "$file: not well-formed"
done
[ "$(grep -c '<action id="org.imad1.manage-' conf/polkit/org.imad1.policy)" = 4 ] || fail "polkit: four actions are expected"

# What the kernel wants of a policy file, and what ours promise: the gate first, no tmpfs, a comment before each rule.
for file in conf/policies/*; do
    [ -z "$(tail -c 1 "$file")" ] || fail "$file: no newline at its end, the kernel drops it whole"
    ! grep -nE '^[^#].*#|'$'\r' "$file" || fail "$file: a comment behind a rule, or a carriage return"
    ! grep -n '^[^#].*tmpfs' "$file" || fail "$file: exempts tmpfs"
    case $file in
    *appraise*)
        [ "$(grep -v '^#' "$file" | grep -m 1 .)" = 'appraise func=POLICY_CHECK appraise_type=imasig' ] ||
            fail "$file: the first rule is not the one on policies"
        ;;
    esac
done

# Manual pages: nothing that groff complains of.
for file in docs/man/*; do
    man --warnings --local-file -Tutf8 "$file" >/dev/null 2>"$work/man"
    [ ! -s "$work/man" ] || fail "$file: $(cat "$work/man")"
done

# The spec packages what install.sh installs, no more and no less: globs and macros are expanded by rpm itself.
rpmspec --load packaging/debian.macros --parse packaging/imad.spec | awk '
    /^%files/ { files = 1; next }
    /^%(changelog|prep|build|install|check|post|preun|postun)/ { files = 0 }
    files && NF && !/^%(license|doc)/ { sub(/^(%(dir|attr\([^)]*\)) +)+/, ""); sub(/\/$/, "/*"); print }' >"$work/globs"
while IFS= read -r glob; do
    case $glob in */man/man*) glob=${glob%"*"} ;; esac
    compgen -G "$work/root$glob" >"$work/found" || fail "imad.spec names $glob, which install.sh does not install"
    cat "$work/found" >>"$work/packaged"
done <"$work/globs"
(cd "$work/root" && find . ! -type d -printf "$work/root/%P\n") | sort -u >"$work/installed"
find "$work/root/usr/share/imad" ! -type d >>"$work/packaged"
sort -u "$work/packaged" | comm -13 - "$work/installed" >"$work/missing"
[ ! -s "$work/missing" ] || fail "imad.spec does not name: $(cat "$work/missing")"
