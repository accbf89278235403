#!/bin/sh
# Builds hither as one static file that is the same, byte for byte, wherever it is built from the same commit with the
# same toolchain: prints where it is and its digest.
#
# Usage: deploy/static/build.sh [TARGET]
#   TARGET   left out: this machine's architecture with musl. With glibc (x86_64-unknown-linux-gnu) the file is static
#            too; the system's own resolver, which is asked for origins' names without a dot and for those in /etc/hosts,
#            then has what is built into the C library.
#
# It needs a C compiler for the target (Debian: musl-tools, or gcc for glibc; Alpine: build-base), and the target's
# standard library (rustup target add TARGET).
set -eu
cd "$(dirname "$0")/../.."

toolchain=1.95.0
target=${1:-$(uname -m)-unknown-linux-musl}

found=$(rustc --version | cut -d ' ' -f 2)
if [ "$found" != "$toolchain" ]; then
    echo "build.sh: rustc is $found, and $toolchain is what others build with: RUSTUP_TOOLCHAIN=$toolchain $0" >&2
    exit 1
fi
if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
    echo "build.sh: there is no standard library for $target: rustup target add $target" >&2
    exit 1
fi

# Nothing of where, when and by whom it is built may be in it.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
export CARGO_INCREMENTAL=0 LC_ALL=C TZ=UTC
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
export RUSTFLAGS="-Ctarget-feature=+crt-static --remap-path-prefix=$PWD=/hither --remap-path-prefix=$cargo_home=/cargo \
--remap-path-prefix=$(rustc --print sysroot)=/rust"
maps="-ffile-prefix-map=$PWD=/hither -ffile-prefix-map=$cargo_home=/cargo"
export CFLAGS="${CFLAGS:-} $maps" CXXFLAGS="${CXXFLAGS:-} $maps"

cargo build --release --locked --package hither --target "$target"
file=${CARGO_TARGET_DIR:-target}/$target/release/hither
sha256sum "$file"
