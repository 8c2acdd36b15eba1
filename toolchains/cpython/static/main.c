/* The program of a static distribution: python with every extension module built in, those too that are files elsewhere. */
#include <Python.h>

/* MODULE(_ssl) ..., written by the recipe */
#define MODULE(name) extern PyObject *PyInit_##name(void);
#include "modules.h"
#undef MODULE

#define MODULE(name) {#name, PyInit_##name},
static struct _inittab modules[] = {
#include "modules.h"
    {NULL, NULL},
};

int
main(int argc, char **argv)
{
    if (PyImport_ExtendInittab(modules) < 0) {
        fputs("python: no memory for the table of modules\n", stderr);
        return 1;
    }
    return Py_BytesMain(argc, argv);
}
