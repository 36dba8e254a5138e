# shellcheck shell=bash
# The cache of expensive things (kernel, root, images), outside the checkout: source this file.
#
#   cached NAME HASH FUNCTION   builds $IMAD_CACHE/NAME-HASH by calling FUNCTION DIRECTORY, unless it is there and
#                               whole, and leaves its path in $entry
#
# An entry is written under another name, summed up in SHA256SUMS and renamed into place last, so a build that was
# cut short leaves nothing behind that looks finished. An entry whose sums no longer hold is thrown away and rebuilt.

IMAD_CACHE=${IMAD_CACHE:-$HOME/.cache/imad}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
die() { say "error: $*"; exit 1; }

# The hash of a recipe: of the content of every file and the text of every word given.
recipe_hash() {
    local word
    for word in "$@"; do
        if [ -f "$word" ]; then sha256sum <"$word"; else printf '%s\n' "$word" | sha256sum; fi
    done | sha256sum | cut -c1-16
}

# The sums of an entry's files, sorted by name. openssl takes the processor's own instructions, coreutils do not.
sums() {
    (cd "$1" && find . -type f ! -name SHA256SUMS -printf '%P\0' | xargs -0 -n 8 -P "$(nproc)" openssl sha256 -r) |
        sed 's/ \*/  /' | LC_ALL=C sort -k 2
}

# Whether an entry is as it was built. $IMAD_SEEN, where build.sh sets it, names a folder with a mark for each entry
# that was found so in this run, as several scripts ask for the same.
whole() {
    local mark=${IMAD_SEEN:-}${IMAD_SEEN:+/${1##*/}}
    [ -f "$1/SHA256SUMS" ] || return 1
    if [ -n "$mark" ] && [ -e "$mark" ]; then return 0; fi
    sums "$1" | cmp -s - <(LC_ALL=C sort -k 2 "$1/SHA256SUMS") || return 1
    if [ -n "$mark" ]; then : >"$mark"; fi
}

cached() {
    local name=$1 hash=$2 build=$3 work lock old
    entry=$IMAD_CACHE/$name-$hash
    mkdir -p "$IMAD_CACHE"
    exec {lock}>"$IMAD_CACHE/.$name.lock"
    flock "$lock"
    if whole "$entry"; then
        touch "$entry"
    else
        [ ! -e "$entry" ] || say "cache entry $entry is broken, building it again"
        rm -rf "$entry" "$IMAD_CACHE/$name"-????????????????.partial*
        work=$entry.partial
        mkdir -p "$work"
        say "building $name-$hash"
        "$build" "$work"
        sums "$work" >"$work.sums"
        mv "$work.sums" "$work/SHA256SUMS"
        mv "$work" "$entry"
        # Only the two newest entries of a name are worth their space. The pattern is a hash: another name may begin
        # with this one.
        find "$IMAD_CACHE" -maxdepth 1 -type d -name "$name-????????????????" -printf '%T@ %p\n' | sort -rn | tail -n +3 |
            while read -r _ old; do rm -rf "$old"; done
        say "built $name-$hash"
    fi
    exec {lock}>&-
}
