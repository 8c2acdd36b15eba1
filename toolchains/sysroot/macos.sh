#!/bin/sh
# Makes a sysroot laid out as a macOS SDK out of zig's Darwin headers and libSystem.tbd, and of ours (toolchains/macos) for what these lack.
# With an SDK of Apple's, the sysroot is that.
# usage: macos.sh ZIG_TARGET OURS OUT [SDK]   (ZIG names the zig program; the current folder is scratch space)
# gives: OUT/usr, OUT/System/Library/Frameworks, OUT/SDKSettings.json, OUT/clang (resource folder: builtin headers, libclang_rt.osx.a)
set -eu
zig_target=$1 ours=$2 out=$3 sdk=${4-}
zig_lib=${ZIG%/*}/lib
export ZIG_GLOBAL_CACHE_DIR="$PWD/global" ZIG_LOCAL_CACHE_DIR="$PWD/local"
frameworks=$out/System/Library/Frameworks
mkdir -p "$out/usr/lib" "$frameworks" "$out/clang/lib/darwin" "$out/licenses"

cp -R "$zig_lib/include" "$out/clang/"

of_zig() {
    cp -R "$zig_lib/libc/include/any-darwin-any" "$out/usr/include"
    cp -R "$ours/frameworks/." "$frameworks/"
    chmod -R u+w "$out"
    (cd "$ours/include" && find . -type f) > headers.txt
    while read -r header; do
        [ ! -e "$out/usr/include/$header" ] || { echo "macos.sh: zig has $header now: remove ours" >&2; exit 1; }
        cp "$ours/include/$header" "$out/usr/include/$header"
    done < headers.txt

    # The SDK that zig's headers were taken from: it stands in each program (LC_BUILD_VERSION), and the system goes by it.
    version=$(sed -n 's/.*"Version": *"\([^"]*\)".*/\1/p' "$zig_lib/libc/darwin/SDKSettings.json")
    grep -q "\"Version\": \"$version\"" "$ours/SDKSettings.json" || { echo "macos.sh: zig's headers are of SDK $version, SDKSettings.json is not" >&2; exit 1; }
    cp "$ours/SDKSettings.json" "$out/"

    cp "$zig_lib/libc/darwin/libSystem.tbd" "$out/usr/lib/"
    # What other systems keep in libraries of their own is all in libSystem; Apple's SDK has these names, too.
    for name in libc libm libdl libpthread libutil libdbm; do
        ln -s libSystem.tbd "$out/usr/lib/$name.tbd"
    done
}

if [ "$sdk" ]; then
    cp -R "$sdk/." "$out/" && chmod -R u+w "$out"
else
    of_zig
fi
# Stub libraries of SDK 27 name the arm64e kind of the system's libraries where earlier ones name both; lld looks for arm64, which the same
# files serve, and does not know arm64e.x1. Every list with arm64e has arm64e.x1 after it: that becomes the arm64 entry.
find "$out" -name '*.tbd' -type f -exec grep -l 'arm64e\.x1-mac' {} + | while read -r stub; do
    sed -e 's/arm64-mac[a-z]*, //g' -e 's/arm64e\.x1-mac/arm64-mac/g' "$stub" > stub.tbd
    cp stub.tbd "$stub"
done

# compiler-rt less what is libSystem's: names without an underscore, and 128-bit long double, which macOS has not.
mkdir -p rt
cp -R "$zig_lib/compiler_rt" rt/ && chmod -R u+w rt
sed -e '/compiler_rt\/\(cos\|exp\|exp2\|fabs\|floor_ceil\|fma\|fmin\|fmod\|log\|log10\|log2\|round\|sin\|sincos\|sqrt\|tan\|trunc\)\.zig/d' \
    -e '/compiler_rt\/\(memcpy\|memmove\|ssp\)\.zig/d' \
    -e 's/if (!builtin.is_test) @export/if (!builtin.is_test and name[0] == 0x5f) @export/' "$zig_lib/compiler_rt.zig" > rt/compiler_rt.zig
sed -i '/symbol(&__divtc3/d' rt/compiler_rt/divc3.zig
"$ZIG" build-obj -target "$zig_target" -O ReleaseFast -fPIC -lc -fstrip --name builtins -femit-bin=builtins.o rt/compiler_rt.zig
"$ZIG" ar rcsD "$out/clang/lib/darwin/libclang_rt.osx.a" builtins.o
cp "${ZIG%/*}/LICENSE" "$out/licenses/LICENSE.zig.txt"
