# Steps of tests/real/test_toolchain.py, in a node's sandbox: what compiles, links and runs with the drivers alone.
set -eux
out=/build/out
mkdir -p "$out" deep
cat > hello.c << 'END'
#include <assert.h>
#include <features.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
const char *file(void) { return __FILE__; }
int main(int argc, char **argv) {
    char text[32];
    strcpy(text, argv[0] + strlen(argv[0]) - 5);
    unsigned __int128 wide = (unsigned __int128)12345678901234567890u * argc / (argc + 2);
#ifdef NDEBUG
    puts("NDEBUG");
#endif
    printf("%s glibc %d.%d exp %.3f wide %lu\n", text, __GLIBC__, __GLIBC_MINOR__, exp(argc), (unsigned long)wide);
    return 0;
}
END
cp hello.c deep/
# an executable as configure makes it, one that does not move, one with debug information, one with a fortified copy
cc hello.c -o hello -lm
cc -no-pie -O2 hello.c -o fixed -lm
cc -O2 -g -D_FORTIFY_SOURCE=2 /build/work/deep/hello.c -o debug -lm
./hello > "$out/said"
./fixed >> "$out/said"
./debug >> "$out/said"
# each spelling of a soname, and a library that holds nothing but another
echo 'int one(void) { return 1; }' > one.c
cc -shared -fPIC one.c -o "$out/a.so" -Wl,-h,liba.so.1
cc -shared -fPIC one.c -o "$out/b.so" -Wl,-hlibb.so.1
cc -shared -fPIC one.c -o "$out/c.so" -Xlinker -h -Xlinker libc.so.1
cc -shared -Wl,--no-as-needed -o "$out/only.so" "$out/a.so"
# link-time optimisation, assembler, preprocessor
cc -shared -fPIC -flto -O2 one.c -o "$out/lto.so"
printf '.globl two\ntwo:\n ret\n' > two.s
cc -c two.s -o two.o
cc -g -c -x assembler-with-cpp two.s -o "$out/two.o"
cc -E -dM -x c - < /dev/null > "$out/macros"
# archives hold no time and no owner
cc -O2 -c one.c -o one.o
ar rcs one.a one.o two.o
sleep 1.1
touch one.o
ar rcs again.a one.o two.o
ranlib again.a
cmp one.a again.a
cc -r one.o two.o -o both.o
cc -shared both.o -o both.so
# what must fail
if echo 'char *when = __DATE__;' | cc -c -x c - -o when.o; then exit 1; fi
if echo 'int main(void) { return undeclared(); }' | cc -x c - -o undeclared; then exit 1; fi
if echo '#include <crypt.h>' | cc -E -x c - > crypt.i; then exit 1; fi
cc -v 2> "$out/version"
cc --version >> "$out/version"
cp hello fixed debug one.a "$out"
