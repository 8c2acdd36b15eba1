"""A turtle draws a filled red square of 100 pixels with a blue outline. Prints its middle, and stays until its input ends."""

import json
import sys
import turtle


def main() -> None:
    turtle.setup(300, 300, 20, 20)
    turtle.speed(0)
    turtle.pensize(6)
    turtle.color("blue", "red")
    turtle.begin_fill()
    for _ in range(4):
        turtle.forward(100)
        turtle.left(90)
    turtle.end_fill()
    turtle.hideturtle()
    canvas = turtle.getcanvas()
    canvas.update()
    left, top = canvas.winfo_rootx() - canvas.canvasx(0), canvas.winfo_rooty() - canvas.canvasy(0)
    print(json.dumps({"middle": [round(left + 50), round(top - 50)], "corner": [round(left), round(top)]}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
