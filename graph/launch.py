"""Run as a program: launch.py PROGRAM ARGUMENT...: gives every signal its default action, then becomes the program.

A background job of a shell ignores SIGINT, and so would all of its children: CPython's tests of signals then fail or hang.
"""

import os
import signal
import sys

if __name__ == "__main__":
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) not in (None, signal.SIG_DFL):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    try:
        os.execvp(sys.argv[1], sys.argv[1:])
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
