#!/bin/sh
# locale.sh NLS OUT: libX11's locale and compose files for UTF-8 and C, from its folder nls/.
# Every UTF-8 locale gets those of en_US.UTF-8, as most have upstream: Tk draws and reads Unicode, and asks for no other character set.
set -e
nls=$1 out=$2
# comments, and what upstream has cpp choose: 32 bits of wchar_t, no Solaris, no old FreeBSD
comments='/^[ \t]*XCOMM/d; /^$/d; /^#if WCHAR32/d; /^#else/,/^#endif/d; /^#if /,/^#endif/d'
mkdir -p "$out/C" "$out/en_US.UTF-8"
for file in C/XLC_LOCALE en_US.UTF-8/XLC_LOCALE en_US.UTF-8/Compose; do
    sed "$comments" "$nls/$file.pre" >"$out/$file"
done
: >"$out/C/Compose"
for table in locale.dir compose.dir; do
    sed -n "$comments"'; s,^[^/]*/\([A-Za-z_]*:*[ \t]*[A-Za-z_@]*\.UTF-8\)$,en_US.UTF-8/\1,p; s,^[^/]*/\([A-Za-z_]*:*[ \t]*C\)$,C/\1,p' \
        "$nls/$table.pre" >"$out/$table"
done
sed -n "$comments"'; /[ \t]C$/p; /\.UTF-8$/p' "$nls/locale.alias.pre" >"$out/locale.alias"
