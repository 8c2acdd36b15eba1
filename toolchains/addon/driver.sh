#!/bin/sh
# Every program of the toolchain add-on: cc, c++, ar, ld and others are this file, and its name says which part of zig to run.
# It finds the add-on from where it lies, also through links to it; needs no more of the machine than sh and, for a link, readlink.
self=$0
case $self in */*) ;; *) self=./$self ;; esac
while [ -h "$self" ]; do
    to=$(readlink "$self")
    case $to in
    /*) self=$to ;;
    *) self=${self%/*}/$to ;;
    esac
done
root=$(CDPATH='' cd -P "${self%/*}/.." && pwd) || exit 1
case ${0##*/} in
*++) exec "$root/libexec/zig" clang --driver-mode=g++ --config="$root/clang.cfg" "$@" ;;
*ranlib) exec "$root/libexec/zig" ranlib "$@" ;;
*ar) exec "$root/libexec/zig" ar "$@" ;;
*ld | *ld.lld) exec "$root/libexec/zig" ld.lld "$@" ;;
*) exec "$root/libexec/zig" clang --config="$root/clang.cfg" "$@" ;;
esac
