#!/bin/sh
# What a program that extends or embeds this Python is compiled and linked with. Paths are those of the place where this script lies; where they
# hold spaces or the like they are written for a shell to read: eval cc prog.c $(python3-config --cflags --ldflags --embed), or in a makefile.

version=@VERSION@@ABIFLAGS@
options='--prefix|--exec-prefix|--includes|--libs|--cflags|--ldflags|--extension-suffix|--help|--abiflags|--configdir|--embed'

usage() {
    echo "Usage: $0 $options"
    exit "$1"
}

# links to this script are followed by hand: readlink -f is not everywhere
follow() {
    file=$1
    case $file in */*) ;; *) file=./$file ;; esac
    while [ -L "$file" ]; do
        aim=$(readlink "$file")
        case $aim in
        /*) file=$aim ;;
        *) file=${file%/*}/$aim ;;
        esac
    done
    printf '%s\n' "$file"
}

quote() {
    printf '%s\n' "$1" | sed 's/[][ 	"'\''\\$`&|;<>()*?#~{}!^]/\\&/g'
}

[ $# -gt 0 ] || usage 1 >&2
libs='@LIBPYTHON@'
for option; do
    case $option in
    --help) usage 0 ;;
    --embed) libs="-lpython$version" ;;
    --*[!a-z-]*) usage 1 >&2 ;;
    *) case "|$options|" in *"|$option|"*) ;; *) usage 1 >&2 ;; esac ;;
    esac
done

self=$(follow "$0")
prefix=$(CDPATH= cd "$(dirname "$self")/.." && pwd -P) || exit 1
includes="-I$(quote "$prefix/include/python$version")"
libs="${libs:+$libs }@LIBS@ @SYSLIBS@"

for option; do
    case $option in
    --prefix | --exec-prefix) printf '%s\n' "$prefix" ;;
    --includes) printf '%s\n' "$includes" ;;
    --cflags) printf '%s\n' "$includes @BASECFLAGS@ @OPT@" ;;
    --libs) printf '%s\n' "$libs" ;;
    --ldflags) printf '%s\n' "-L$(quote "$prefix/lib") $libs" ;;
    --extension-suffix) echo '@EXT_SUFFIX@' ;;
    --abiflags) echo '@ABIFLAGS@' ;;
    --configdir) printf '%s\n' "$prefix/@CONFIG_FOLDER@" ;;
    esac
done
