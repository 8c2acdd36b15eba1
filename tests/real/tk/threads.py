"""Two Tk interpreters in two threads, each with a window and a main loop of its own, at once. Prints how often each one's timer ran."""

import gc
import json
import threading
import tkinter
from tkinter import ttk

ROUNDS = 100
HALF_WAY = threading.Barrier(2, timeout=30)
"""Broken, and an error, when one loop blocks the other."""


def show(name: str, counts: dict[str, int]) -> None:
    root = tkinter.Tk(className=name)
    label = ttk.Label(root, text=name)
    label.pack()

    def tick() -> None:
        counts[name] += 1
        label["text"] = f"{name} {counts[name]} Ω"
        if counts[name] == ROUNDS // 2:
            HALF_WAY.wait()
        if counts[name] < ROUNDS:
            root.after(1, tick)
        else:
            root.destroy()

    root.after(1, tick)
    root.mainloop()


def run(name: str, counts: dict[str, int]) -> None:
    show(name, counts)
    # an interpreter has to die in the thread that made it
    gc.collect()


def main() -> None:
    counts = {"one": 0, "two": 0}
    threads = [threading.Thread(target=run, args=(name, counts)) for name in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main()
