#!/usr/bin/env bash
# Installs every Debian package of tests/packages.txt that is not there yet. Needs root.
set -euo pipefail
list=$(dirname "$0")/packages.txt
wanted=$(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$list")
missing=
for package in $wanted; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "these Debian packages are missing, and installing them needs root:$missing" >&2; exit 1; }
apt-get update -q
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
