"""An entry field. Prints its content, escaped, when Return is pressed."""

import tkinter


def main() -> None:
    root = tkinter.Tk(className="Typed")
    entry = tkinter.Entry(root, width=60)
    entry.pack()
    root.update()
    entry.focus_force()
    root.update()
    print('"ready"', flush=True)

    def end(event: object) -> None:
        print(ascii(entry.get()), flush=True)
        root.destroy()

    entry.bind("<Return>", end)
    root.after(60000, root.destroy)
    root.mainloop()


if __name__ == "__main__":
    main()
