"""PIL.ImageTk: an image of Pillow's in a Tk photo and back. Prints colours."""

import json
import tkinter

from PIL import Image, ImageTk


def main() -> None:
    root = tkinter.Tk()
    image = Image.new("RGB", (40, 20), (10, 200, 30))
    image.putpixel((3, 4), (255, 0, 7))
    photo = ImageTk.PhotoImage(image, master=root)
    tkinter.Label(root, image=photo).pack()
    root.update()
    name = str(photo)
    print(json.dumps([root.tk.eval(f"{name} get {at}") for at in ("0 0", "3 4")] + [ImageTk.getimage(photo).getpixel((3, 4))[:3]]))


if __name__ == "__main__":
    main()
