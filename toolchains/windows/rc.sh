#!/bin/sh
# zig's compiler of resources, out of zig's tree: `zig rc` would make it for this very processor, and for speed, which takes thrice as long.
# usage: rc.sh ZIG_TARGET OUT   (ZIG names the zig program; the current folder is scratch space)
set -eu
export ZIG_GLOBAL_CACHE_DIR="$PWD/global" ZIG_LOCAL_CACHE_DIR="$PWD/local"
cp -R "${ZIG%/*}/lib/compiler" compiler
chmod -R u+w compiler
echo 'pub const main = @import("resinator/main.zig").main;' > compiler/rc.zig
mkdir -p "$2/bin"
"$ZIG" build-exe -target "$1" -mcpu=baseline -O ReleaseSmall -fstrip --dep aro -Mroot=compiler/rc.zig -Maro=compiler/aro/aro.zig \
    --name rc -femit-bin="$2/bin/rc"
