# shellcheck shell=bash
# The package mirror that this machine's apt is set up with: source this file.

# Prints the address of the archive that the host's own release comes from; trixie is found at the same place.
mirror() {
    local codename found
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    # shellcheck disable=SC2016 # the words in $() are apt's
    found=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Identifier: Packages' 'Component: main' |
        sed -n "s/^$codename //p" | head -n 1)
    [ -n "$found" ] || die "apt has no source for Debian $codename, so there is no mirror to take trixie from"
    echo "$found"
}
