# shellcheck shell=bash
# The release of Debian that the guests are made of: source this file after cache.sh. It is trixie, or what the script
# that sources it was called with.
#
#   $suite    its name; what is built of another than trixie is named after it: NAME-SUITE
#   $version  its number
#   $uml      the script that builds the trusted kernel for user-mode Linux that goes with it

suite=${1:-trixie}
case $suite in
    trixie) version=13 uml=uml.sh ;;
    forky) version=14 uml=uml-next.sh ;;
    *) die "$suite: it is trixie or forky" ;;
esac

# of_suite NAME: the name of a cache entry.
of_suite() { if [ "$suite" = trixie ]; then echo "$1"; else echo "$1-$suite"; fi; }
