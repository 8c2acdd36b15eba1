/* An extension module. */
#include <Python.h>

static PyObject *answer(PyObject *self, PyObject *unused)
{
    return PyLong_FromLong(PY_VERSION_HEX >> 16);
}

static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, "Major and minor version."}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "where", 0, 0, methods};

PyMODINIT_FUNC PyInit_where(void)
{
    return PyModuleDef_Init(&module);
}
