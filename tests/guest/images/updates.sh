#!/usr/bin/env bash
# Builds a higher release of the base packages that an update hurts most: the C library, bash, systemd. Each has scriptlets
# that run programs of the system, as the distributions' have, and note in /var/lib/updates.log what ran. Prints the folder
# with updates/, signed.
set -euo pipefail
# shellcheck source=tests/guest/images/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=tests/guest/images/signing.sh
. "$here/signing.sh"
# shellcheck source=tests/guest/images/repack.sh
. "$here/repack.sh"

keys=$("$here/keys.sh")
root=$("$here/root.sh")

# What runs after the files of a package are in place.
command_of() {
    case $1 in
        libc6) echo 'ldconfig' ;;
        bash) echo "bash -c 'test -n \$BASH_VERSION'" ;;
        systemd) echo 'systemctl daemon-reexec' ;;
        *) echo 'true' ;;
    esac
}

build() {
    local out=$1 name
    for name in libc6 libc-bin bash libsystemd-shared systemd; do
        # systemd's asks for groups before anything else, as Fedora's does.
        {
            if [ "$name" = systemd ]; then
                printf '%%pre\ngetent group root >/dev/null && echo "systemd pre" >>/var/lib/updates.log\n\n'
            fi
            printf '%%post\n%s && echo "%s post" >>/var/lib/updates.log\n\n' "$(command_of "$name")" "$name"
            printf '%%posttrans\nstat -c %%%%s / >/dev/null && echo "%s posttrans" >>/var/lib/updates.log\n' "$name"
        } >"$out/scriptlets"
        repack "$root/rpms/$name.rpm" "$out/updates" "$out/scriptlets"
    done
    rm "$out/scriptlets"
    sign_rpm --key "$keys/ima.key" --cert "$keys/ima.pem" "$out"/updates/*.rpm >&2
}

cached updates "$(recipe_hash "${BASH_SOURCE[0]}" "$here/repack.sh" "$here/signing.sh" "$root/SHA256SUMS" \
    "$keys/ima.pem" "$(signer_recipe)")" build
echo "$entry"
