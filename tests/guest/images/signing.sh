# shellcheck shell=bash
# The signer of packages and the maker of images: source this file after cache.sh.

checkout=$(cd "$here/../../.." && pwd)

# What the signer is made of.
signer_recipe() { cat "$checkout/tests/guest/tools/sign_rpm.rs" "$checkout/tests/guest/tools/rpm_file.rs" | sha256sum; }

# cargo_example NAME: builds an example of the package and prints the program's path.
cargo_example() {
    local target
    (cd "$checkout" && cargo build --quiet --locked --example "$1") || die "cargo could not build $1"
    target=${CARGO_TARGET_DIR:-$checkout/target}
    echo "$target/debug/examples/$1"
}

sign_rpm() { "$(cargo_example sign-rpm)" "$@"; }

# make_image FOLDER FILE LABEL SIZE: an ext4 image of the folder, extended attributes and all.
make_image() {
    truncate -s "$4" "$2"
    mke2fs -q -t ext4 -I 256 -O verity -E lazy_itable_init=1,lazy_journal_init=1 -L "$3" -d "$1" "$2"
}

# install_packages IMAGE REPOSITORIES PACKAGE...: dnf installs the packages in the image, as a user does.
install_packages() {
    local image=$1 repositories=$2
    shift 2
    # shellcheck disable=SC2034 # in_root reads it
    shares=("$repositories:/srv/repo")
    in_root "$image" dnf -q -y --disablerepo='*' --enablerepo='imad-base,imad-imad' \
        --setopt='imad-*.skip_if_unavailable=True' install "$@" >&2
    # shellcheck disable=SC2016 # expanded in the root
    in_root "$image" sh -euc 'dnf -q check; rm -rf /var/log/dnf* /var/log/hawkey* /var/cache/dnf/*' >&2
    shares=()
}

# label_image IMAGE FILE.rpm...: labels the files of the packages in the image.
label_image() {
    local image=$1 signer
    shift
    signer=$(cargo_example sign-rpm)
    # shellcheck disable=SC2016 # expanded by the inner shell
    on_root "$image" bash -c 'signer=$1; shift; exec "$signer" --label-root "$IMAD_ROOT" "$@"' label "$signer" "$@" >&2
}
