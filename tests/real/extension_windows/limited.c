/* Of the stable ABI alone: a type that counts, for every CPython 3 from 3.8 on. It needs python3.dll, not python313.dll. */
#define Py_LIMITED_API 0x03080000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

typedef struct {
    PyObject_HEAD
    long long count;
} Counter;

static PyObject *next(PyObject *self, PyObject *unused)
{
    return PyLong_FromLongLong(++((Counter *)self)->count);
}

static PyMethodDef of_counter[] = {{"next", next, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static PyType_Slot of_type[] = {{Py_tp_methods, of_counter}, {Py_tp_new, PyType_GenericNew}, {0, NULL}};
static PyType_Spec type = {"limited.Counter", sizeof(Counter), 0, Py_TPFLAGS_DEFAULT, of_type};

static int fill(PyObject *module)
{
    return PyModule_AddObject(module, "Counter", PyType_FromSpec(&type));
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, fill}, {0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "limited", NULL, 0, NULL, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_limited(void)
{
    return PyModuleDef_Init(&definition);
}
