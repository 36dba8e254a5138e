# shellcheck shell=bash
# A kernel's source tree and its configuration: source this file after cache.sh.

# What no guest's kernel is built from, and half of the archive: other architectures, drivers of hardware that guests do not
# have, documentation. Their Kconfig files stay.
left_out=('*/Documentation/*/*' '*/tools/testing/*' '*.dts' '*.dtsi')
for folder in drivers/gpu drivers/media drivers/staging drivers/net/ethernet drivers/net/wireless drivers/iio drivers/scsi \
    drivers/infiniband sound; do
    left_out+=("*/$folder/*.[chS]")
done
for folder in alpha arc arm arm64 csky hexagon loongarch m68k microblaze mips nios2 openrisc parisc powerpc riscv s390 sh \
    sparc xtensa; do
    left_out+=("*/arch/$folder/*.[chS]")
done

# kernel_tree ARCHIVE: unpacks it and leaves the folder in $tree, which goes with the script that called.
kernel_tree() {
    [ -f "$1" ] || die "$1 is missing: install the packages of tests/packages.txt (tests/setup.sh)"
    tree=$(mktemp -d "$IMAD_CACHE/kernel-tree.XXXXXX")
    # shellcheck disable=SC2064 # the name is known now
    trap "rm -rf '$tree'" EXIT
    tar -xf "$1" -C "$tree" --strip-components=1 "${left_out[@]/#/--exclude=}"
}

# configure FRAGMENT CA MAKE-WORD…: tinyconfig with the fragment merged over it, the CA built in; each of its lines must be
# in the configuration that comes of it.
configure() {
    local fragment=$1 ca=$2 line missing=0
    shift 2
    {
        cat "$fragment"
        echo "CONFIG_SYSTEM_TRUSTED_KEYS=\"$ca\""
        echo 'CONFIG_LOCALVERSION="-imad"'
    } >"$tree/.fragment"
    (
        cd "$tree"
        make -s "$@" tinyconfig
        scripts/kconfig/merge_config.sh -m .config .fragment >merge.log
        make -s "$@" olddefconfig
    ) || die "the kernel cannot be configured"
    while read -r line; do
        case $line in
        CONFIG_*) grep -qxF "$line" "$tree/.config" || { say "kernel configuration lost: $line"; missing=1; } ;;
        esac
    done <"$tree/.fragment"
    [ $missing = 0 ] || die "the kernel's configuration is not the one asked for"
}

# compile LOG MAKE-WORD…
compile() {
    local log=$1
    shift
    make -C "$tree" -j"$(nproc)" "$@" >>"$log" 2>&1 || { tail -n 40 "$log" >&2; die "kernel build failed"; }
}

forget_tree() {
    rm -rf "$tree"
    trap - EXIT
}

# uml_fragment DIFFERENCES: kernel-config.fragment for user-mode Linux.
uml_fragment() {
    awk 'NR == FNR { if ($1 == "without") without[$2] = 1; else if ($1 == "with") added = added "CONFIG_" $2 "\n"; next }
        /^CONFIG_/ { name = substr($1, 8); sub(/=.*/, "", name); if (name in without) next }
        { print }
        END { printf "%s", added }' "$1" "$here/kernel-config.fragment"
}

# few_lines DRIVERS: two serial lines and a console are all that a guest has: udev looks at each other one twice in every boot.
# And a serial line that was once told to wait never goes on (line_throttle() gives its file descriptor up for good); one
# that is told nothing waits by itself while its buffer is full.
few_lines() {
    sed -i -e 's/^#define NR_PORTS 64$/#define NR_PORTS 2/' -e '/^\t\.\(un\)\?throttle\b.*/d' "$1/ssl.c"
    sed -i 's/^#define MAX_TTYS (16)$/#define MAX_TTYS (1)/' "$1/stdio_console.c"
    if ! grep -q '^#define NR_PORTS 2$' "$1/ssl.c" || grep -q throttle "$1/ssl.c" ||
        ! grep -q '^#define MAX_TTYS (1)$' "$1/stdio_console.c"; then
        die "user-mode Linux has changed its serial lines"
    fi
}

# build_uml OUT ARCHIVE CA DIFFERENCES…: the kernel for user-mode Linux.
build_uml() {
    local out=$1 archive=$2 ca=$3
    shift 3
    kernel_tree "$archive"
    cat "$@" >"$out/differences"
    uml_fragment "$out/differences" >"$out/fragment"
    few_lines "$tree/arch/um/drivers"
    configure "$out/fragment" "$ca" ARCH=um SUBARCH=x86_64
    compile "$out/build.log" ARCH=um SUBARCH=x86_64 linux
    strip -o "$out/linux" "$tree/linux"
    cp "$tree/.config" "$out/config"
    make -s -C "$tree" ARCH=um SUBARCH=x86_64 kernelrelease >"$out/release"
    forget_tree
}
