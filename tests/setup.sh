#!/usr/bin/env bash
# Installs every Debian package of tests/packages.txt that is not there yet. Needs root.
set -euo pipefail
list=$(dirname "$0")/packages.txt
wanted=$(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$list")

# Those that are not installed.
missing() {
    local package
    for package in $wanted; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
    done
}

[ -n "$(missing)" ] || exit 0
[ "$(id -u)" = 0 ] ||
    { echo "these Debian packages are missing, and installing them needs root: $(missing | xargs)" >&2; exit 1; }
apt-get update -q
# Twice: a package of another release, which goes by the same name, may have to go before one of this release can come.
for _ in 1 2; do
    # shellcheck disable=SC2046 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $(missing)
done
[ -z "$(missing)" ] || { echo "these Debian packages cannot be installed: $(missing | xargs)" >&2; exit 1; }
