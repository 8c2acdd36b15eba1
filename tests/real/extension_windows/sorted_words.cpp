// C++ with its library, and an exception that is thrown and caught in it.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

static PyObject *at(PyObject *, PyObject *args)
{
    const char *text;
    int place;
    if (!PyArg_ParseTuple(args, "si", &text, &place))
        return nullptr;
    std::vector<std::string> words{""};
    for (; *text; text++) {
        if (*text == ' ')
            words.emplace_back();
        else
            words.back() += *text;
    }
    std::sort(words.begin(), words.end());
    try {
        return PyUnicode_FromString(words.at(static_cast<std::size_t>(place)).c_str());
    } catch (const std::out_of_range &) {
        PyErr_SetString(PyExc_IndexError, "thrown and caught");
        return nullptr;
    }
}

static PyMethodDef methods[] = {{"at", at, METH_VARARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "sorted_words", nullptr, 0, methods, nullptr, nullptr, nullptr, nullptr};

PyMODINIT_FUNC PyInit_sorted_words()
{
    return PyModule_Create(&definition);
}
