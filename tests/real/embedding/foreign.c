/* A library that must not be loaded. */
#include <unistd.h>

__attribute__((constructor)) static void loaded(void)
{
    _exit(66);
}
