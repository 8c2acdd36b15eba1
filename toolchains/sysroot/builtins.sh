#!/bin/sh
# compiler-rt's builtins out of zig's tree, less its own memcpy, exp, __stack_chk_fail and the like (names of libc, math and ssp): in one
# object file with the builtins, they would replace the libc's in every library that divides an __int128.
# usage: builtins.sh ZIG_TARGET OUT.a WRONG [FLAG...]   (ZIG names the zig program, ZIG_*_CACHE_DIR its caches; the current folder is scratch space)
# WRONG: parts of compiler_rt to leave out as well, e.g. '\|mulc3\|divc3'; FLAG: of zig build-obj, e.g. -mcpu=i686
set -eu
zig_target=$1 archive=$2 wrong=$3
shift 3
zig_lib=${ZIG%/*}/lib
mkdir -p rt
cp -R "$zig_lib/compiler_rt" rt/ && chmod -R u+w rt
sed -e '/compiler_rt\/\(cos\|exp\|exp2\|fabs\|floor_ceil\|fma\|fmax\|fmin\|fmod\|log\|log10\|log2\|round\|sin\|sincos\|sqrt\|tan\|trunc\)\.zig/d' \
    -e "/compiler_rt\/\(memcpy\|memmove\|ssp$wrong\)\.zig/d" \
    -e 's/if (!builtin.is_test) @export/if (!builtin.is_test and name[0] == 0x5f) @export/' "$zig_lib/compiler_rt.zig" > rt/compiler_rt.zig
"$ZIG" build-obj -target "$zig_target" "$@" -O ReleaseFast -fPIC -ffunction-sections -fdata-sections -fstrip --name builtins \
    -femit-bin=builtins.o rt/compiler_rt.zig
"$ZIG" ar rcsD "$archive" builtins.o
