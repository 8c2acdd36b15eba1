"""A window with themed widgets, text in several scripts and an image. Prints where they are, as JSON, and stays until its input ends.

Usage: window.py IMAGE
"""

import json
import sys
import threading
import tkinter
from tkinter import ttk

TEXTS = {
    "latin": "Fenêtre Größe žluťoučký",
    "greek": "Ξεσκεπάζω τὴν ψυχοφθόρα",
    "cyrillic": "Съешь же ещё этих мягких",
    "cjk": "日本語 中文 한국어",
}


def fill(root: tkinter.Tk, image: tkinter.PhotoImage) -> dict[str, tkinter.Widget]:
    """Everything that is looked at, packed from top to bottom."""
    shown: dict[str, tkinter.Widget] = {
        name: tkinter.Label(root, text=text, font=("TkDefaultFont", 20), background="white", foreground="black")
        for name, text in TEXTS.items()
    }
    bar = ttk.Frame(root)
    parts = (ttk.Button(bar, text="Button"), ttk.Checkbutton(bar, text="Check"), ttk.Combobox(bar, values=["one"]), ttk.Entry(bar))
    for part in (*parts, ttk.Progressbar(bar, value=60)):
        part.pack(side="left", padx=4)
    tabs = ttk.Notebook(root)
    tree = ttk.Treeview(tabs, columns=("size",), height=3)
    tree.insert("", "end", text="a row", values=("12",))
    tabs.add(tree, text="Tree")
    shown.update(bar=bar, tabs=tabs, image=tkinter.Label(root, image=image, borderwidth=0, highlightthickness=0))
    for widget in shown.values():
        widget.pack(pady=3)
    return shown


def wait(done: threading.Event) -> None:
    """Until the input ends; Tk goes on drawing meanwhile."""
    sys.stdin.read()
    done.set()


def main() -> None:
    root = tkinter.Tk(className="Window")
    root.title("Fenster Ελλάδα 窓")
    root.geometry("+0+0")
    image = tkinter.PhotoImage(file=sys.argv[1])
    shown = fill(root, image)
    root.update()
    places = {name: (w.winfo_rootx(), w.winfo_rooty(), w.winfo_width(), w.winfo_height()) for name, w in shown.items()}
    facts = {"places": places, "tk_library": root.tk.eval("set tk_library"), "patchlevel": root.tk.eval("info patchlevel")}
    print(json.dumps(facts), flush=True)
    done = threading.Event()
    threading.Thread(target=wait, args=(done,), daemon=True).start()
    while not done.is_set():
        root.update()
        done.wait(0.02)
    root.destroy()


if __name__ == "__main__":
    main()
