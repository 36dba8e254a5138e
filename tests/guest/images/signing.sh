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
