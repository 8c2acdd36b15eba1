#include <Python.h>

unsigned long part(void);
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "joined"};

PyMODINIT_FUNC PyInit_joined(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module && PyModule_AddObject(module, "crc", PyLong_FromUnsignedLong(part())) == 0)
        return module;
    return NULL;
}
