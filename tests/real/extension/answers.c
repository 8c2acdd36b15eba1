/* What the compiler was told of the machine, and a call of libm: both must agree with the interpreter that imports it. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>

static PyObject *of_machine(PyObject *module, PyObject *unused)
{
    const int one = 1;
    return Py_BuildValue("{s:i,s:s,s:d}", "pointer", (int)sizeof(void *), "order", *(const char *)&one ? "little" : "big", "root", sqrt(2.0));
}

static PyMethodDef methods[] = {{"of_machine", of_machine, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "answers", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_answers(void)
{
    return PyModule_Create(&definition);
}
