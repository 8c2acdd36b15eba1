#!/bin/sh
# Makes a sysroot for clang and lld out of musl's source: the C library itself, where make.sh has stubs, for it is also the libc of static programs.
# usage: musl.sh ZIG_TARGET CLANG_TARGET SOURCE NEWER OUT   (ZIG and CC are set; builtins.sh lies beside; the current folder is scratch space)
# gives: OUT/usr/include, OUT/usr/lib (start files, libc.a, libc.so to link with), OUT/clang (resource folder: builtin headers, libclang_rt),
#        OUT/lib (the loader, which is the C library that programs run with)
# NEWER lists symbols that the loader has and libc.so has not: what an older musl lacks, nothing links with.
set -eu
zig_target=$1 clang_target=$2 source=$3 newer=$4 out=$5
zig_lib=${ZIG%/*}/lib here=$(cd "${0%/*}" && pwd)
export ZIG_GLOBAL_CACHE_DIR="$PWD/global" ZIG_LOCAL_CACHE_DIR="$PWD/local"
rt=$out/clang/lib/$clang_target
mkdir -p "$out/usr/include" "$rt"

# The kernel's headers are zig's; the first folder of its list wins, so it is copied last. musl's own come from the source.
: > empty.c
"$ZIG" cc -target "$zig_target" -E -v empty.c > /dev/null 2> search.txt
sed -n '/^#include <...> search starts here:/,/^End of search list/s/^ //p' search.txt > folders.txt
reversed=
while read -r folder; do
    case $folder in
    "$zig_lib"/include) cp -R "$folder" "$out/clang/" ;;
    "$zig_lib"/libc/include/*-linux-any) reversed="$folder $reversed" ;;
    "$zig_lib"/libc/include/*-musl) ;;
    *) echo "musl.sh: unexpected header folder $folder" >&2; exit 1 ;;
    esac
done < folders.txt
for folder in $reversed; do
    cp -R "$folder/." "$out/usr/include/" && chmod -R u+w "$out"
done
sh "$here/builtins.sh" "$zig_target" "$rt/libclang_rt.builtins.a" ''

# Position-independent also in libc.a, for static programs are PIE. No debug information: it would be most of the sysroot.
mkdir musl && cd musl
"$source/configure" --target="$clang_target" --prefix=/usr --syslibdir=/lib --disable-wrapper --disable-debug \
    CC="$CC -resource-dir=$out/clang" CFLAGS='-O2 -fPIE'
make -s
make -s install DESTDIR="$out"
# The loader is the libc.so that was built. What programs are compiled and linked with is the same library less the newer symbols: their
# declarations are gone, too, for some sources define such a function themselves when configure did not find it.
loader=$(ls "$out"/lib/ld-musl-*.so.1)
rm "$loader" lib/libc.so
mv "$out/usr/lib/libc.so" "$loader"
sed -n 's/^\([A-Za-z0-9_]*\) [0-9.]*$/\1/p' "$newer" > newer.txt
while read -r name; do
    header=$(grep -rlE "^[a-z].*[ *]$name ?\(.*\);\$" "$out/usr/include") || { echo "musl.sh: no header declares $name" >&2; exit 1; }
    sed -i -E "/^[a-z].*[ *]$name ?\(.*\);\$/d" $header
done < newer.txt
{ echo '{ local:'; sed 's/$/;/' newer.txt; echo '};'; } > floor.map
make -s LDFLAGS="-Wl,--version-script=$PWD/floor.map" lib/libc.so
cp lib/libc.so "$out/usr/lib/"

# All that crtbegin and crtend still did, lld and init_array do; clang names them.
"$ZIG" clang --target="$clang_target" -c -x assembler - -o "$rt/clang_rt.crtbegin.o" < ../empty.c
cp "$rt/clang_rt.crtbegin.o" "$rt/clang_rt.crtend.o"

mkdir -p "$out/licenses"
cp "${ZIG%/*}/LICENSE" "$out/licenses/LICENSE.zig.txt"
cp "$source/COPYRIGHT" "$out/licenses/LICENSE.musl.txt"
