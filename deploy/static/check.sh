#!/bin/sh
# Builds the last commit twice, in two places, and says whether the two files are the same.
#
# Usage: deploy/static/check.sh [TARGET]    as build.sh; takes twice as long as a build
set -eu
cd "$(dirname "$0")/../.."

top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
for place in one another/longer; do
    git clone --quiet . "$top/$place"
    # A folder of cargo's own for each is what two machines have.
    (unset CARGO_TARGET_DIR; "$top/$place/deploy/static/build.sh" "$@") | tee -a "$top/digests"
done
if [ "$(wc -l <"$top/digests")" != 2 ] || [ "$(cut -d ' ' -f 1 "$top/digests" | sort -u | wc -l)" != 1 ]; then
    echo 'check.sh: the two differ, or one was not built' >&2
    exit 1
fi
echo 'the two are the same'
