#!/bin/sh
# enter_wine.sh ROOT ARGUMENT...: wine of another root file system, in mount and pid namespaces that the caller made; the machine's own folders
# that no system has (/tmp, /home, ...) are at their places, and so are what tells names of the network and the working directory
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
# without hosts not even localhost has an address
for file in /etc/hosts /etc/resolv.conf /etc/services /etc/protocols; do
    [ -f "$file" ] || continue
    # a link would lead to a file of this machine
    [ ! -L "$root$file" ] || rm "$root$file"
    [ -e "$root$file" ] || : >"$root$file"
    mount --bind "$file" "$root$file"
done
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
# the processors
mount --rbind /sys "$root/sys"
# the server writes the registry when it ends; the end of the namespace would kill it before
run='wine "$@"; status=$?; wineserver -k; exit $status'
exec chroot "$root" /usr/bin/env -C "$there" PATH=/usr/bin:/bin LANG=C.UTF-8 sh -c "$run" wine "$@"
