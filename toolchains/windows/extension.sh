#!/bin/sh
# Compiles and links an extension module for a distribution for Windows, on a machine that is none, by `zig cc` (docs/windows.md#extension-modules).
#   extension.sh PREFIX OUT WORD...    PREFIX: the distribution, unpacked; WORD: sources (C, or C++ if one is), flags, libraries
# A module whose name has no tag (NAME.pyd) is linked with the stable ABI's DLL alone and serves every Python; one with a tag is for that version
# and, where the tag says so, for a Python without the global interpreter lock (cp313t) or a debug build (NAME_d.cp313-...).
# ZIG: the program, and words before its own; by default that of the Python package ziglang.
set -eu
if [ $# -lt 3 ]; then
    echo "usage: extension.sh PREFIX OUT WORD..." >&2
    exit 2
fi
prefix=$1 out=$2
shift 2
# The tag, as in answers.cp313-win_amd64.pyd, _d.cp313t-win32.pyd (of a debug build) or none, says which of the distribution's libraries it is.
name=${out##*/}
case $name in
*_d.*pyd) debug=_d ;;
*) debug='' ;;
esac
case $name in
*.cp3*-win*.pyd)
    version=${name##*.cp}
    library=python${version%%-*}$debug.lib
    ;;
*.*.pyd)
    echo "extension.sh: $out: no tag of an extension module for Windows, e.g. NAME.cp313-win_amd64.pyd" >&2
    exit 2
    ;;
*.pyd) library=python3$debug.lib ;;
*)
    echo "extension.sh: $out: an extension module's name ends in .pyd" >&2
    exit 2
    ;;
esac
if [ ! -e "$prefix/libs/$library" ]; then
    echo "extension.sh: $prefix: no distribution for Windows that such a module is for (no libs/$library)" >&2
    exit 2
fi
# The machine that the distribution is for: a number behind "PE", whose place stands at 0x3C. (long double: a double, as Microsoft's)
place=$(od -An -tu4 -j60 -N4 "$prefix/python.exe")
machine=$(od -An -tx1 -j$((place + 4)) -N2 "$prefix/python.exe" | tr -d ' ')
case $machine in
6486) target=x86_64-windows-gnu kind=i386:x86-64 double=-mlong-double-64 ;;
4c01) target=x86-windows-gnu kind=i386 double=-mlong-double-64 ;;
64aa) target=aarch64-windows-gnu kind=arm64 double= ;;
*)
    echo "extension.sh: $prefix/python.exe is for a machine ($machine) that this script does not know" >&2
    exit 2
    ;;
esac
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
# Of floats the C runtime for i386 has these two alone: there, zig's others are linked.
names='exp exp2 log log2 log10 sin cos tan fmod pow exp2f log2f'
[ "$kind" = i386 ] || names="$names expf logf log10f sinf cosf tanf fmodf powf"
{
    printf 'LIBRARY api-ms-win-crt-math-l1-1-0.dll\nEXPORTS\n'
    # shellcheck disable=SC2086 # (words)
    printf '%s\n' $names
} > "$scratch/math.def"
# shellcheck disable=SC2086 # (words)
$zig dlltool -m $kind -d "$scratch/math.def" -l "$scratch/math.lib"
# (lld leaves an import library beside what it links)
# shellcheck disable=SC2086
$zig $language -target $target -O2 -s $double -shared ${debug:+-D_DEBUG} -I "$prefix/include" "$@" "$prefix/libs/$library" "$scratch/math.lib" \
    -o "$scratch/${out##*/}"
mv "$scratch/${out##*/}" "$out"
