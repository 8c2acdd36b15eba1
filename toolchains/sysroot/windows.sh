#!/bin/sh
# Makes a plain sysroot for clang and lld out of zig's tree: mingw-w64's headers and start files, the Universal C Runtime's import libraries.
# usage: windows.sh ZIG_TARGET CLANG_TARGET OUT KIND   (ZIG names the zig program; the current folder is scratch space; KIND: dlltool's machine)
# (builtins.sh and complex.c lie beside it)
# gives: OUT/include, OUT/lib (start files, import libraries), OUT/clang (resource folder: builtin headers, libclang_rt)
set -eu
zig_target=$1 clang_target=$2 out=$3 kind=$4
zig_lib=${ZIG%/*}/lib
mingw=$zig_lib/libc/mingw
export ZIG_GLOBAL_CACHE_DIR="$PWD/global" ZIG_LOCAL_CACHE_DIR="$PWD/local"
lib=$out/lib rt=$out/clang/lib/$clang_target own=${0%/*}
mkdir -p "$out/include" "$lib" "$rt"

# arch: the folder of definitions that are of the machine alone (zig's tree has none of Arm's);
# double: the option for a long double of 64 bits, where it is not so by itself
double=-mlong-double-64
case $kind in
i386:x86-64) arch=lib64 ;;
i386) arch=lib32 ;;
arm64) arch=lib-common double= ;;
esac

cp -R "$zig_lib/libc/include/any-windows-any/." "$out/include/"
cp -R "$zig_lib/include" "$out/clang/"
chmod -R u+w "$out"
# windows.h reads every vector intrinsic that clang has: 34,000 of its 57,000 lines, and half of its time, in each file. What it calls itself
# is in <emmintrin.h>, which it reads as well; <intrin.h>, as Microsoft's, has them all.
[ "$(grep -c '^# include <x86intrin\.h>' "$out/include/winnt.h")" = 1 ]
sed -i '/^# include <x86intrin\.h>/d' "$out/include/winnt.h"

# isfinite(x) and the like look at x where it lies in memory. On i386 they would at the x87's register, in which what overflows is finite still.
if [ "$kind" = i386 ]; then
    memory='#if defined(__x86_64__) || defined(_AMD64_) || defined(__arm__) || defined(_ARM_) || defined(__aarch64__) || defined(_ARM64_)'
    [ "$(grep -c -x "$memory" "$out/include/math.h")" = 6 ]
    sed -i "s/^$memory\$/& || defined(__i386__)/" "$out/include/math.h"
fi

# As they are spelled in sources of those whose file system does not care.
for pair in Windows.h:windows.h Rpc.h:rpc.h Unknwn.h:unknwn.h Wbemidl.h:wbemidl.h ProcessSnapshot.h:processsnapshot.h WinSock2.h:winsock2.h; do
    [ -e "$out/include/${pair%:*}" ] || echo "#include <${pair#*:}>" > "$out/include/${pair%:*}"
done

# Start files (of programs with main and with wmain, and of libraries) and what mingw-w64 adds to the C runtime: zig makes them for a first link.
echo 'int main(void) { return 0; }' > main.c
echo 'int wmain(void) { return 0; }' > wmain.c
start_file() { # NAME IN_CACHE SOURCE FLAG...
    name=$1 made=$2
    shift 2
    "$ZIG" cc -target "$zig_target" -O2 -s "$@" -o first
    # (the object and zig's copy of it)
    for file in "$ZIG_GLOBAL_CACHE_DIR"/o/*/"$made.obj"; do
        mv "$file" "$lib/$name.o"
    done
}
start_file crt2 crt2 main.c
start_file crt2u crt2 wmain.c -municode
start_file dllcrt2 dllcrt2 main.c -shared
# Packed anew: zig's members are named by paths in its cache, and some have one name.
mkdir -p members
# On i386 one would have the x87 round to 64 bits in each thread, and UCRT's mathematics with it; UCRT's own function does to 53, as Windows.
echo 'extern void (*ucrt)(void) __asm__("__imp___fpreset"); void _fpreset(void) { ucrt(); } void fpreset(void) { ucrt(); }' > fpreset.c
[ "$kind" != i386 ] || "$ZIG" clang --target="$clang_target" -march=pentium4 -O2 -c fpreset.c
"$ZIG" ar t "$ZIG_GLOBAL_CACHE_DIR"/o/*/libmingw32.lib > members.txt
number=0 replaced=0
while read -r member; do
    number=$((number + 1))
    if [ "$kind${member##*/}" = i386CRT_fp10.obj ]; then
        member=$PWD/fpreset.o replaced=$((replaced + 1))
    fi
    cp "$member" "members/$number-${member##*/}"
done < members.txt
if [ "$kind" = i386 ] && [ "$replaced" != 1 ]; then
    echo "windows.sh: libmingw32 has CRT_fp10.obj $replaced times, not once" >&2
    exit 1
fi
"$ZIG" ar rcsD "$lib/libmingw32.a" members/*
# (clang names them all, and these parts are in the one above)
"$ZIG" clang --target="$clang_target" -c -x c -o nothing.o - < /dev/null
for name in moldname mingwex; do
    "$ZIG" ar rcsD "$lib/lib$name.a"
done
cp nothing.o "$lib/crtbegin.o"
cp nothing.o "$lib/crtend.o"

# import_library NAME: lib/libNAME.a, of the first definitions there are; those of the architecture alone come first.
import_library() {
    for file in "$mingw/$arch/$1.def" "$mingw/$arch/$1.def.in" "$mingw/lib-common/$1.def" "$mingw/lib-common/$1.def.in" none; do
        [ ! -e "$file" ] || break
    done
    case $file in
    none) echo "windows.sh: no definitions of $1" >&2 && exit 1 ;;
    *.in) "$ZIG" clang --target="$clang_target" -E -P -w -x c -I"$mingw/def-include" -o "$1.def" "$file" ;;
    *) cp "$file" "$1.def" ;;
    esac
    # sizes of arguments are part of names on i386 alone
    [ "$kind" = i386 ] || sed -i 's/@[0-9][0-9]*\([[:space:]]\|$\)/\1/' "$1.def"
    "$ZIG" dlltool -m "$kind" -k -d "$1.def" -l "$lib/lib$1.a"
}
for name in advapi32 bcrypt comctl32 comdlg32 crypt32 gdi32 imm32 iphlpapi kernel32 netapi32 ole32 oleaut32 propsys rpcrt4 shell32 shlwapi \
    user32 userenv uxtheme version winmm winspool ws2_32 api-ms-win-core-path-l1-1-0; do
    import_library "$name"
done
# (as CPython's projects name it)
ln -s libapi-ms-win-core-path-l1-1-0.a "$lib/libpathcch.a"
# The C runtime: one library of all the sets that Windows has it in.
echo "CREATE $lib/libucrt.a" > ucrt.mri
for file in "$mingw"/lib-common/api-ms-win-crt-*.def*; do
    name=${file##*/} name=${name%.in} name=${name%.def}
    import_library "$name"
    echo "ADDLIB $lib/lib$name.a" >> ucrt.mri
done
printf 'SAVE\nEND\n' >> ucrt.mri
"$ZIG" ar -M < ucrt.mri
rm "$lib"/libapi-ms-win-crt-*.a
# (as clang names it)
ln -s libucrt.a "$lib/libmsvcrt.a"

# (zig's own of complex numbers ask for a libm that has what UCRT has not)
sh "$own/builtins.sh" "$zig_target" "$rt/libclang_rt.builtins.a" '\|mulc3\|divc3'
"$ZIG" clang --target="$clang_target" $double -O2 -ffunction-sections -resource-dir="$out/clang" -c "$own/complex.c" -o complex.o
"$ZIG" ar rsD "$rt/libclang_rt.builtins.a" complex.o
mkdir -p "$out/licenses"
cp "${ZIG%/*}/LICENSE" "$out/licenses/LICENSE.zig.txt"
cp "$mingw/COPYING" "$out/licenses/LICENSE.mingw-w64.txt"
