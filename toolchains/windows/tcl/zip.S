/* The script library of Tcl or Tk, a zip archive, as read-only data of the DLL: NAME, NAME_size. */
#define JOIN(a, b) a##b
#define SIZE(name) JOIN(name, _size)
    .section .rdata, "dr"
    .globl NAME, SIZE(NAME)
    .balign 8
SIZE(NAME):
    .quad 1f - NAME
NAME:
    .incbin "scripts.zip"
1:
