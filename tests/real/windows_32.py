"""Run BY an interpreter of 32-bit Windows: what is of 32 bits alone (docs/windows.md#32-bits). Raises AssertionError."""

import ctypes
import mmap
import sys
import sysconfig
import threading
from collections.abc import Callable

assert sys.platform == "win32"

NOWHERE = 0x10
"""An address that nothing lies at."""
PC, PC_53 = 0x30000, 0x10000
"""The x87's precision in _control87(), and that of Windows."""
COMMITTED, EXECUTABLE = 0x3000, 0x40


def platform_and_types() -> None:
    assert (sysconfig.get_platform(), sys.maxsize) == ("win32", 2**31 - 1), sysconfig.get_platform()
    assert sysconfig.get_config_var("EXT_SUFFIX") == ".cp313-win32.pyd"
    assert "32 bit (Intel)" in sys.version and " MSC v.1900 " in sys.version, sys.version
    assert (ctypes.sizeof(ctypes.c_longdouble), ctypes.alignment(ctypes.c_double), ctypes.sizeof(ctypes.c_time_t)) == (8, 8, 8)


def faults_in_calls() -> None:
    """Of a function that is called, in both calling conventions, and of one that raises an exception itself."""
    strlen = ctypes.CDLL("ucrtbase").strlen
    for _ in range(3):
        assert refused(lambda: strlen(NOWHERE)) == "exception: access violation reading 0x00000010"
        assert refused(lambda: ctypes.memset(NOWHERE, 1, 1)) == "exception: access violation writing 0x00000010"
    try:
        ctypes.windll.kernel32.RaiseException(0x20000001, 0, 0, None)
    except OSError as error:
        assert error.winerror == 0x20000001, error
    else:
        raise AssertionError("nothing was raised")


def refused(call: Callable[[], object]) -> str:
    try:
        call()
    except OSError as error:
        return str(error)
    raise AssertionError("nothing was raised")


def faults_of_mmap() -> None:
    """Of memory whose protection was taken away, read and written in each way."""
    with mmap.mmap(-1, 4096) as memory:
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        before = ctypes.c_ulong()
        assert ctypes.windll.kernel32.VirtualProtect(ctypes.c_void_p(address), 4096, 1, ctypes.byref(before))
        ways: list[Callable[[], object]] = [
            *(lambda: memory[0], lambda: memory[:9], lambda: memory[0:9:2], lambda: memory.find(b"x"), lambda: memory.rfind(b"x")),
            *(lambda: memory.read(3), lambda: memory.read_byte(), lambda: memory.readline(), lambda: memory.move(0, 9, 9)),
            *(lambda: memory.write(b"x"), lambda: memory.write_byte(1), lambda: memory.__setitem__(0, 1)),
            *(lambda: memory.__setitem__(slice(0, 2), b"ab"), lambda: memory.__setitem__(slice(0, 4, 2), b"ab")),
        ]
        for way in ways:
            assert "[WinError 998]" in refused(way)
        assert ctypes.windll.kernel32.VirtualProtect(ctypes.c_void_p(address), 4096, 4, ctypes.byref(before))
        assert memory[:2] == b"\0\0"


def callbacks() -> None:
    """Windows takes the arguments of a callback off the stack itself."""
    seen: list[str] = []
    prototype = ctypes.WINFUNCTYPE(ctypes.c_int, ctypes.c_wchar_p)
    assert ctypes.windll.kernel32.EnumSystemLocalesW(prototype(lambda name: bool(seen.append(name or "")) or 1), 1)
    assert len(seen) > 5


def precision() -> None:
    """The x87 rounds to double, which UCRT's mathematics counts on; so in each thread."""
    found: list[int] = []
    for _ in range(2):
        thread = threading.Thread(target=lambda: found.append(ctypes.cdll.ucrtbase._control87(0, 0) & PC))
        thread.start()
        thread.join()
    assert [*found, ctypes.cdll.ucrtbase._control87(0, 0) & PC] == [PC_53] * 3, found


def floats() -> None:
    """SSE2 rounds once; the x87, at 53 bits, too, as if exponents had no end, and then once more what is below 2**-1022."""
    one, small = float.fromhex("0x1.82e076608c2b0p+0"), float.fromhex("0x0.004d6be000000p-1022")
    assert (one * small).hex() == "0x0.00750089f0ec1p-1022", (one * small).hex()


def stack_of_four() -> None:
    """MSVC's code calls with the stack at any multiple of four."""
    code = (
        b"import math, hashlib, decimal; assert math.fsum([.1] * 10) == 1.0 and hashlib.sha256(b'x' * 999).digest()\n"
        b"assert str(decimal.Decimal(2).sqrt())[:5] == '1.414'"
    )
    run = ctypes.cast(ctypes.pythonapi.PyRun_SimpleString, ctypes.c_void_p).value or 0
    for shift in (0, 4, 8, 12):
        # push ebp; mov ebp, esp; and esp, -16; sub esp, shift; push [ebp+8]; mov eax, run; call eax; leave; ret
        words = bytes.fromhex(f"55 89e5 83e4f0 83ec{shift:02x} ff7508 b8") + run.to_bytes(4, "little") + bytes.fromhex("ffd0 c9 c3")
        place = ctypes.windll.kernel32.VirtualAlloc(None, 4096, COMMITTED, EXECUTABLE)
        ctypes.memmove(place, words, len(words))
        assert ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_char_p)(place)(code) == 0, shift


def end_of_the_stack() -> None:
    """PyOS_CheckStack() says so before it is there, and once more after that."""
    check, found, depths = ctypes.pythonapi.PyOS_CheckStack, [], []

    class Room(ctypes.Structure):
        """What a call puts on the stack, so that its end comes before that of recursion."""

        _fields_ = [("bytes", ctypes.c_char * 1024)]

    def deeper(_: Room) -> int:
        depths[-1] += 1
        return 1 if check() else called(Room())

    called = ctypes.CFUNCTYPE(ctypes.c_int, Room)(deeper)
    for _ in range(2):
        depths.append(0)
        found.extend((check(), called(Room()), check()))
    assert found == [0, 1, 0] * 2 and depths[0] == depths[1] > 100, (found, depths)


PARTS = (platform_and_types, faults_in_calls, faults_of_mmap, callbacks, precision, floats, stack_of_four, end_of_the_stack)

if __name__ == "__main__":
    for part in PARTS:
        part()
        print("ran", part.__name__, flush=True)
    print("right")
