#!/bin/sh
# Makes a plain sysroot for clang and lld out of zig's tree, so that later steps need neither zig's headers nor its caches.
# usage: make.sh ZIG_TARGET CLANG_TARGET OUT   (ZIG names the zig program; the current folder is scratch space)
# (builtins.sh, complex.c, doubledouble.c and lockfree.c lie beside it; CLANG_TARGET_FLAGS are the flags of the target)
# gives: OUT/usr/include, OUT/usr/lib (start files, stub libraries), OUT/clang (resource folder: builtin headers, libclang_rt)
set -eu
zig_target=$1 clang_target=$2 out=$3
zig_lib=${ZIG%/*}/lib
export ZIG_GLOBAL_CACHE_DIR="$PWD/global" ZIG_LOCAL_CACHE_DIR="$PWD/local"
include=$out/usr/include lib=$out/usr/lib rt=$out/clang/lib/$clang_target own=${0%/*}
mkdir -p "$include" "$lib" "$rt"

# cpu: of start files and builtins, the least that the architecture's distributions ask for. builtins: own ones, for what zig has not, or wrong.
cpu=baseline builtins= wrong= empty=
case $zig_target in
x86-*) cpu=i686 builtins='complex lockfree' wrong='\|mulc3\|divc3' ;;
arm-*hf.*) cpu=baseline-neon-d32 empty=atomic ;;
arm-*) cpu=baseline+soft_float-vfp2sp empty=atomic builtins=complex wrong='\|mulc3\|divc3' ;;
powerpc64le-*) builtins='complex doubledouble' wrong='\|mulc3\|divc3' ;;
esac

# Headers: zig's list in search order; the first folder wins, so it is copied last. zig's own list starts with clang's builtin headers.
: > empty.c
"$ZIG" cc -target "$zig_target" -E -v empty.c > /dev/null 2> search.txt
sed -n '/^#include <...> search starts here:/,/^End of search list/s/^ //p' search.txt > folders.txt
reversed=
while read -r folder; do
    case $folder in
    "$zig_lib"/include) cp -R "$folder" "$out/clang/" && chmod -R u+w "$out" ;;
    "$zig_lib"/libc/include/*) reversed="$folder $reversed" ;;
    *) echo "make.sh: unexpected header folder $folder" >&2; exit 1 ;;
    esac
done < folders.txt
for folder in $reversed; do
    cp -R "$folder/." "$include/" && chmod -R u+w "$include"
done
# zig gives the glibc version on each command line; in a sysroot it is a fact of the headers.
minor=${zig_target##*.}
sed "s|^/\\* zig patch: we pass .*__GLIBC_MINOR__.*|#define	__GLIBC_MINOR__	$minor|" "$include/features.h" > features.h
grep -q "^#define	__GLIBC_MINOR__	$minor\$" features.h || { echo 'make.sh: features.h has no place for __GLIBC_MINOR__' >&2; exit 1; }
cp features.h "$include/features.h"
# The functions of 64-bit times on 32-bit machines came with 2.34; headers of an older glibc do not know what asks for them.
case $zig_target in
x86-* | arm-*)
    if [ "$minor" -lt 34 ]; then
        sed 's/^#if defined _TIME_BITS$/#if 0/' "$include/features-time64.h" > time64.h
        grep -q '^#if 0$' time64.h || { echo 'make.sh: features-time64.h has no place for _TIME_BITS' >&2; exit 1; }
        cp time64.h "$include/features-time64.h"
    fi
    ;;
esac

# Start files and stubs: zig makes them for a first link. -s keeps debug sections, and so paths, out of them.
echo 'int main(void) { return 0; }' > main.c
for kind in -no-pie -pie; do
    "$ZIG" cc -target "$zig_target" -mcpu=$cpu -O2 -s $kind main.c -o main
done
find "$ZIG_GLOBAL_CACHE_DIR/o" \( -name '*crt1.o' -o -name 'libc_nonshared.a' -o -name 'lib*.so.*' \) -exec cp {} "$lib/" \;
for stub in "$lib"/lib*.so.*; do
    name=${stub##*/}
    ln -s "$name" "$lib/${name%%.so.*}.so"
done
rm "$lib/libc.so" "$lib/libld.so"
# Since 2.34 glibc's libc.so.6 is these too, and gives empty archives for those who still name them. libatomic is part of the builtins:
# an empty one is for those who name it unasked on 32-bit machines.
for name in dl pthread rt util $empty; do
    [ -e "$lib/lib$name.so" ] || "$ZIG" ar rcsD "$lib/lib$name.a"
done
# Packed anew: zig's members are named by paths in its cache.
mkdir -p members
(cd members && "$ZIG" ar x "$lib/libc_nonshared.a" && rm "$lib/libc_nonshared.a" && "$ZIG" ar rcsD "$lib/libc_nonshared.a" ./*.o)
echo "GROUP ( /usr/lib/libc.so.6 /usr/lib/libc_nonshared.a AS_NEEDED ( /usr/lib/libld.so.2 ) )" > "$lib/libc.so"
# zig's crt1.o holds what others keep in crti, crtn, crtbegin and crtend; clang still names those four. (Only the compiler tells ARM's linker
# how floats are passed, which a library without any other object, libpython3.so, must say, too.)
case $zig_target in
arm-*) "$ZIG" clang --target="$clang_target" $CLANG_TARGET_FLAGS -c -x c - -o nothing.o < empty.c ;;
*) "$ZIG" clang --target="$clang_target" -c -x assembler - -o nothing.o < empty.c ;;
esac
for name in "$lib/crti.o" "$lib/crtn.o" "$rt/clang_rt.crtbegin.o" "$rt/clang_rt.crtend.o"; do
    cp nothing.o "$name"
done

sh "$own/builtins.sh" "$zig_target" "$rt/libclang_rt.builtins.a" "$wrong" -mcpu="$cpu" -lc
for name in $builtins; do
    "$ZIG" clang --target="$clang_target" $CLANG_TARGET_FLAGS -O2 -fPIC -fvisibility=hidden -ffunction-sections -c "$own/$name.c" -o "$name.o"
    "$ZIG" ar rsD "$rt/libclang_rt.builtins.a" "$name.o"
done
mkdir -p "$out/licenses"
cp "${ZIG%/*}/LICENSE" "$out/licenses/LICENSE.zig.txt"
cp "$zig_lib/libc/glibc/LICENSES" "$out/licenses/LICENSE.glibc.txt"
