/* The script library of Tcl or Tk, a zip archive, as read-only data of the shared library: NAME, NAME_size. */
#define JOIN(a, b) a##b
#define SIZE(name) JOIN(name, _size)
    .section .rodata
    .globl NAME, SIZE(NAME)
    .hidden NAME, SIZE(NAME)
    .balign 8
SIZE(NAME):
    .quad 1f - NAME
NAME:
    .incbin "scripts.zip"
1:
    .section .note.GNU-stack, "", %progbits
