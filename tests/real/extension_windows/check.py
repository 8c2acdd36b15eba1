"""Run in Windows' Python with the modules' folder: what they say must be what the interpreter says. Prints `right` at the end."""

import ctypes
import math
import sys

sys.path.insert(0, sys.argv[1])
import answers  # type: ignore[import-not-found]
import limited  # type: ignore[import-not-found]
import sorted_words  # type: ignore[import-not-found]

sizes = {
    "int": ctypes.sizeof(ctypes.c_int),
    "long": ctypes.sizeof(ctypes.c_long),
    "long double": ctypes.sizeof(ctypes.c_longdouble),
    "pointer": ctypes.sizeof(ctypes.c_void_p),
    "wchar_t": ctypes.sizeof(ctypes.c_wchar),
}
assert answers.sizes() == sizes, answers.sizes()
assert answers.sizes()["long double"] == 8 and answers.third() == f"{1 / 3:.20f}", (answers.sizes(), answers.third())
assert answers.add(2**31 - 1, 1) == 2**31
try:
    answers.add(2**31, 1)
except OverflowError as error:
    # (an int of Windows is as wide as a long)
    assert "C long" in str(error), error
else:
    raise AssertionError("no OverflowError")

# to the last bit, over a range that shows where another C library's differ
for number in range(1, 2000):
    x = number / 7
    own = [math.exp(x), math.log(x), None, math.log10(x), math.sin(x), math.cos(x), math.tan(x), x**1.7, math.fmod(x, 0.7)]
    found = answers.functions(x)
    # (CPython's log2 has a way of its own for whole powers of two, and UCRT's is what it calls otherwise)
    own[2] = math.log2(x)
    assert found == own, (x, found, own)

try:
    answers.refuse("ünï")
except answers.Refused as error:
    assert isinstance(error, ValueError) and str(error) == "not 'ünï'", ascii(str(error))
else:
    raise AssertionError("nothing raised")
try:
    answers.absent()
except FileNotFoundError as error:
    assert error.errno == 2, error
else:
    raise AssertionError("errno is another C runtime's")
assert answers.backwards("añ\U0001f40d") == "\U0001f40dña"
assert answers.sum(memoryview(bytes(range(256)))[::1]) == sum(range(256))

counter = limited.Counter()
assert [counter.next(), counter.next()] == [1, 2]
assert sorted_words.at("pear apple fig", 1) == "fig"
try:
    sorted_words.at("one", 9)
except IndexError as error:
    assert str(error) == "thrown and caught", error
else:
    raise AssertionError("nothing thrown")
print("right")
