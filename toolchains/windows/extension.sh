#!/bin/sh
# Compiles and links an extension module for a distribution for Windows, on a machine that is none, by `zig cc` (docs/windows.md#extension-modules).
#   extension.sh PREFIX OUT WORD...    PREFIX: the distribution, unpacked; WORD: sources (C, or C++ if one is), flags, libraries
# A module whose name has no tag (NAME.pyd) is linked with the stable ABI's DLL alone and serves every Python; one with a tag is for that version.
# ZIG: the program, and words before its own; by default that of the Python package ziglang.
set -eu
if [ $# -lt 3 ]; then
    echo "usage: extension.sh PREFIX OUT WORD..." >&2
    exit 2
fi
prefix=$1 out=$2
shift 2
case ${out##*/} in
*.*.pyd) library=python3??.lib ;;
*.pyd) library=python3.lib ;;
*)
    echo "extension.sh: $out: an extension module's name ends in .pyd" >&2
    exit 2
    ;;
esac
# shellcheck disable=SC2086 # (a pattern)
library=$(CDPATH='' cd "$prefix/libs" > /dev/null 2>&1 && echo $library) || library=python3.lib
if [ ! -e "$prefix/libs/$library" ]; then
    echo "extension.sh: $prefix: no distribution for Windows (no libs/python3.lib); unpack one and name its folder python" >&2
    exit 2
fi
language=cc
for word; do
    case $word in
    *.cpp | *.cc | *.cxx) language=c++ ;;
    esac
done
zig=${ZIG:-python3 -m ziglang}
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT

# zig has mathematics of its own, with other last digits than the C runtime's, and takes them first. Those of a library named here come before.
{
    printf 'LIBRARY api-ms-win-crt-math-l1-1-0.dll\nEXPORTS\n'
    for name in exp exp2 log log2 log10 sin cos tan fmod pow; do
        printf '%s\n%sf\n' "$name" "$name"
    done
} > "$scratch/math.def"
# shellcheck disable=SC2086 # (words)
$zig dlltool -m i386:x86-64 -d "$scratch/math.def" -l "$scratch/math.lib"
# Microsoft's long double is a double. (lld leaves an import library beside what it links.)
# shellcheck disable=SC2086
$zig $language -target x86_64-windows-gnu -O2 -s -mlong-double-64 -shared -I "$prefix/include" "$@" "$prefix/libs/$library" "$scratch/math.lib" \
    -o "$scratch/${out##*/}"
mv "$scratch/${out##*/}" "$out"
