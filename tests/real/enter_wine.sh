#!/bin/sh
# enter_wine.sh ROOT ARGUMENT...: wine of another root file system, in mount and pid namespaces that the caller made; the machine's own folders
# that no system has (/tmp, /home, ...) are at their places, and so is the working directory
root=$1 there=$PWD
shift
for folder in /*; do
    case $folder in
    /bin | /boot | /dev | /etc | /lib* | /lost+found | /proc | /run | /sbin | /sys | /usr | /var) ;;
    *)
        [ -d "$folder" ] || continue
        mkdir -p "$root$folder"
        mount --rbind "$folder" "$root$folder"
        ;;
    esac
done
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" /usr/bin/env -C "$there" PATH=/usr/bin:/bin LANG=C.UTF-8 /usr/bin/wine "$@"
