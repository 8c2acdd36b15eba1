# Steps of tests/real/test_macos.py, in a node's sandbox: what the drivers make for macOS.
set -eux
out=/build/out
mkdir -p "$out"
cat > hello.c << 'END'
#include <stdio.h>
#include <sys/stat.h>
const char *file(void) { return __FILE__; }
int main(int argc, char **argv) {
    unsigned __int128 wide = (unsigned __int128)12345678901234567890u * argc / (argc + 2);
    if (__builtin_available(macOS 13, *))
        mkfifoat(0, argv[0], 0600);
    return printf("%s %lu\n", file(), (unsigned long)wide);
}
END
cc -O2 -g -c hello.c
cc -g hello.o -o "$out/program"
cc -O2 -flto=thin hello.c -o "$out/lto"
cc -O2 -Wl,-S hello.c -o "$out/plain"
echo 'extern int python; int PyInit_x(void) { return python; } int PyInit_y(void) { return 1; } int other(void) { return 2; }' > module.c
cc -bundle -undefined dynamic_lookup -Wl,-exported_symbol,'_PyInit_*' module.c -o "$out/module.so"
echo 'int one(void) { return 1; }' > one.c
cc -c one.c
ar rcsD libone.a one.o
cc -dynamiclib -install_name @rpath/libone.dylib -Wl,-force_load,libone.a -o "$out/libone.dylib"
echo 'int one(void); int absent(void); int main(void) { return one() + absent(); }' > needs.c
if cc needs.c -L"$out" -lone -o needs 2> message.txt; then exit 1; fi
grep 'undefined symbol: absent' message.txt
cat > numbers.c << 'END'
#include <complex.h>
#include <math.h>
int main(int argc, char **argv) {
    double complex quotient = CMPLX(argc, 2) / CMPLX(3, argc);
    float complex small = CMPLXF(argc, 2) / CMPLXF(3, argc);
    return (int)(fmax(creal(quotient), argc) + crealf(small) + exp(argc) + (double)((unsigned __int128)argc << 70));
}
END
cc -O2 -fno-builtin numbers.c -o "$out/numbers"
# a static library of link-time optimisation's objects, of which nobody names aside's: with the table of references it is in a program, too
echo 'int api(void) { return 3; }' > entry.c
echo 'int lone(void) { return 4; }' > aside.c
echo 'int api(void); int (*const table[])(void) = {api};' > table.c
echo 'extern int (*const table[])(void); int main(void) { return table[0](); }' > holder.c
mkdir lto
cc -O2 -flto=thin -c entry.c aside.c
cc -dynamiclib -flto=thin -Wl,-object_path_lto,lto -o liblto.dylib entry.o aside.o
cc -O2 -c table.c -o table.o
cc -O2 -c -include /build/references.h table.c -o referring.o
for one in table referring; do
    ar rcsD "lib$one.a" lto/*.o "$one.o"
    cc -O2 -Wl,-export_dynamic holder.c "lib$one.a" -o "$out/$one"
done
mkdir "$out/objects"
cp lto/*.o "$out/objects/"
cp "$out/plain" "$out/stacked"
# what a full archive has beside programs: joined for both processors, it is read by no linker here
cp libone.a "$out/libone.a"
cc -O2 -flto=thin -c one.c -o "$out/one.bc"
