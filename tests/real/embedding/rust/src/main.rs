//! A program that embeds Python through PyO3.

use pyo3::prelude::*;

const CODE: &std::ffi::CStr = c"
import _ctypes, encodings, sqlite3, ssl, sys
sqlite3.connect(':memory:').execute('select 1')
print(sys.prefix, encodings.__file__, _ctypes.__file__, ssl.OPENSSL_VERSION, sep='\\n', flush=True)
";

fn main() -> PyResult<()> {
    Python::attach(|py| py.run(CODE, None, None))
}
