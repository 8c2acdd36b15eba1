/* A program that embeds Python: what it finds, and modules that bring libraries of their own. */
#include <Python.h>

static const char code[] =
    "import _ctypes, encodings, sqlite3, ssl, sys\n"
    "sqlite3.connect(':memory:').execute('select 1')\n"
    "print(sys.prefix, encodings.__file__, _ctypes.__file__, ssl.OPENSSL_VERSION, sep='\\n')\n";

int main(void)
{
    Py_InitializeEx(0);
    int failed = PyRun_SimpleString(code);
    return Py_FinalizeEx() < 0 || failed;
}
