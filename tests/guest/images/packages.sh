#!/usr/bin/env bash
# packages.sh [SUITE] builds the test packages with rpmbuild and lays them out as dnf repositories. Prints the folder with
#
#   base/      the base system's packages and the guest agent
#   good/      imad-hello 1.0 and the other test packages, signed as the base system is
#   newer/     imad-hello 2.0, signed
#   unsigned/  imad-hello 1.1, without file signatures
#   foreign/   imad-hello 1.2, signed by a key that no kernel knows
set -euo pipefail
# shellcheck source=tests/guest/images/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=tests/guest/images/signing.sh
. "$here/signing.sh"
# shellcheck source=tests/guest/images/suite.sh
. "$here/suite.sh"

keys=$("$here/keys.sh")
root=$("$here/root.sh" "$suite")
scratch=$(mktemp -d "$IMAD_CACHE/packages.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
# The same program whatever was compiled beside it.
strip -o "$scratch/imad-guest-agent" "$(cargo_example guest-agent)"

# rpms VERSION REPOSITORY OPTION...: imad-hello in this version, and what the options add, into a repository.
rpms() {
    local version=$1 folder=$2
    shift 2
    mkdir -p "$scratch/BUILD" "$folder"
    rpmbuild -bb --quiet --nodeps --target x86_64 --define "_topdir $scratch" --define "_rpmdir $folder" \
        --define '_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm' --define '_buildhost guest' \
        --define 'debug_package %{nil}' --define '_build_id_links none' --define "hello $version" \
        --define "checkout $checkout" --define "agent $scratch/imad-guest-agent" "$@" "$here/packages.spec" \
        >"$scratch/rpmbuild.log" 2>&1 ||
        { tail -n 40 "$scratch/rpmbuild.log" >&2; die "rpmbuild of the test packages failed"; }
}

build() {
    local out=$1 name
    rpms 1.0 "$out/good" --with rest
    rpms 2.0 "$out/newer"
    rpms 1.1 "$out/unsigned"
    rpms 1.2 "$out/foreign"
    mkdir "$out/base"
    cp "$root"/rpms/*.rpm "$out/base/"
    mv "$out"/good/imad-guest-agent-*.rpm "$out/base/"
    sign_rpm --key "$keys/ima.key" --cert "$keys/ima.pem" "$out"/base/imad-guest-agent-*.rpm "$out"/{good,newer}/*.rpm >&2
    sign_rpm --key "$keys/foreign.key" --cert "$keys/foreign.pem" "$out"/foreign/*.rpm >&2
    for name in base good newer unsigned foreign; do createrepo_c --quiet --no-database "$out/$name" >&2; done
}

cached "$(of_suite packages)" "$(recipe_hash "${BASH_SOURCE[0]}" "$here/packages.spec" "$here/signing.sh" \
    "$root/SHA256SUMS" "$checkout/tests/guest/tools/agent/install.sh" "$checkout"/tests/guest/tools/agent/*.service \
    "$checkout"/tests/guest/tools/agent/51imad-guest-agent/* "$scratch/imad-guest-agent" "$(signer_recipe)")" build
echo "$entry"
