#!/bin/sh
# enter_root.sh ROOT PROGRAM...: runs a program in another root file system, in mount and pid namespaces that the caller made
root=$1; shift
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t sysfs sysfs "$root/sys"
exec chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 TERM=xterm \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
