#!/bin/sh
# zig's compiler of resources: `zig rc` makes it out of the whole of zig's tree when it is first called, and runs it.
# usage: rc.sh OUT   (ZIG names the zig program; the current folder is scratch space)
set -eu
export ZIG_GLOBAL_CACHE_DIR="$PWD/global" ZIG_LOCAL_CACHE_DIR="$PWD/local"
printf '1 VERSIONINFO\nBEGIN\nEND\n' > empty.rc
"$ZIG" rc /:no-preprocess /:auto-includes none /fo empty.res empty.rc
mkdir -p "$1/bin"
cp "$ZIG_GLOBAL_CACHE_DIR"/o/*/resinator "$1/bin/rc"
