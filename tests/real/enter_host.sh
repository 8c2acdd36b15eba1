#!/bin/sh
# enter_host.sh ROOT NAME PROGRAM...: runs a program on "another host", in mount, pid, ipc, network and name namespaces that the caller made.
# Not by chroot: who is in one may make no user namespaces, which the sandbox needs. Nor by bubblewrap, whose /proc forbids another one.
root=$1
hostname "$2"
shift 2
mount --rbind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
cd "$root"
pivot_root . .
umount -l .
cd /
exec "$@"
