#!/bin/sh
# Makes a sysroot laid out as a macOS SDK out of zig's Darwin headers and libSystem.tbd, and of ours (toolchains/macos) for what these lack.
# With an SDK of Apple's, the sysroot is that.
# usage: macos.sh ZIG_TARGET CLANG_TARGET OURS OUT [SDK]   (ZIG names the zig program; builtins.sh and complex.c lie beside; the current folder is
# scratch space)
# gives: OUT/usr, OUT/System/Library/Frameworks, OUT/SDKSettings.json, OUT/clang (resource folder: builtin headers, libclang_rt.osx.a)
set -eu
zig_target=$1 clang_target=$2 ours=$3 out=$4 sdk=${5-}
own=$(cd "$(dirname "$0")" && pwd)
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
    chmod u+w "$stub" && cp stub.tbd "$stub"
done

# compiler-rt as elsewhere, but for what has a long double of 128 bits in it, which macOS has not: zig's complex quotient asks for its fmaxf128.
# Of complex numbers libSystem has a part, by processor; ours stand behind it.
sh "$own/builtins.sh" "$zig_target" "$out/clang/lib/darwin/libclang_rt.osx.a" '\|mulc3\|divc3' -lc
"$ZIG" clang --target="$clang_target" -O2 -fPIC -fvisibility=hidden -c "$own/complex.c" -o complex.o
"$ZIG" ar rsD "$out/clang/lib/darwin/libclang_rt.osx.a" complex.o
cp "${ZIG%/*}/LICENSE" "$out/licenses/LICENSE.zig.txt"
