/* What a compiler on Linux and the interpreter on Windows must agree on: types, the C runtime's mathematics, exceptions, text, buffers. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>

static PyObject *Refused;

static PyObject *sizes(PyObject *module, PyObject *unused)
{
    return Py_BuildValue("{s:i,s:i,s:i,s:i,s:i}", "int", (int)sizeof(int), "long", (int)sizeof(long), "long double", (int)sizeof(long double),
                         "pointer", (int)sizeof(void *), "wchar_t", (int)sizeof(wchar_t));
}

static PyObject *add(PyObject *module, PyObject *args)
{
    int one, other;
    if (!PyArg_ParseTuple(args, "ii", &one, &other))
        return NULL;
    return PyLong_FromLongLong((long long)one + other);
}

static PyObject *functions(PyObject *module, PyObject *args)
{
    double x;
    if (!PyArg_ParseTuple(args, "d", &x))
        return NULL;
    return Py_BuildValue("[ddddddddd]", exp(x), log(x), log2(x), log10(x), sin(x), cos(x), tan(x), pow(x, 1.7), fmod(x, 0.7));
}

/* A third, through the C runtime's printf, whose long double is a double. */
static PyObject *third(PyObject *module, PyObject *unused)
{
    char text[64];
    volatile long double one = 1.0L;
    snprintf(text, sizeof text, "%.20Lf", one / 3);
    return PyUnicode_FromString(text);
}

static PyObject *refuse(PyObject *module, PyObject *what)
{
    return PyErr_Format(Refused, "not %R", what);
}

static PyObject *absent(PyObject *module, PyObject *unused)
{
    FILE *file = fopen("there is no such file", "rb");
    if (file)
        fclose(file);
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *backwards(PyObject *module, PyObject *text)
{
    Py_ssize_t length = PyUnicode_GetLength(text);
    Py_UCS4 *letters = length < 0 ? NULL : PyMem_New(Py_UCS4, length + 1);
    PyObject *result = NULL;
    if (letters) {
        for (Py_ssize_t place = 0; place < length; place++)
            letters[place] = PyUnicode_ReadChar(text, length - 1 - place);
        result = PyUnicode_FromKindAndData(PyUnicode_4BYTE_KIND, letters, length);
        PyMem_Free(letters);
    }
    return result;
}

static PyObject *sum(PyObject *module, PyObject *args)
{
    Py_buffer buffer;
    unsigned long long total = 0;
    if (!PyArg_ParseTuple(args, "y*", &buffer))
        return NULL;
    for (Py_ssize_t place = 0; place < buffer.len; place++)
        total += ((unsigned char *)buffer.buf)[place];
    PyBuffer_Release(&buffer);
    return PyLong_FromUnsignedLongLong(total);
}

static PyMethodDef methods[] = {
    {"sizes", sizes, METH_NOARGS, NULL},
    {"add", add, METH_VARARGS, NULL},
    {"functions", functions, METH_VARARGS, NULL},
    {"third", third, METH_NOARGS, NULL},
    {"refuse", refuse, METH_O, NULL},
    {"absent", absent, METH_NOARGS, NULL},
    {"backwards", backwards, METH_O, NULL},
    {"sum", sum, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int fill(PyObject *module)
{
    Refused = PyErr_NewException("answers.Refused", PyExc_ValueError, NULL);
    return PyModule_AddObjectRef(module, "Refused", Refused);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, fill}, {0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "answers", NULL, 0, methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_answers(void)
{
    return PyModuleDef_Init(&definition);
}
