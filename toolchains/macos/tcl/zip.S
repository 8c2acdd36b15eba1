/* The script library of Tcl or Tk, a zip archive, as read-only data of the shared library: NAME, NAME_size (of C, which has no underscore here). */
#define PASTE(a, b) a##b
#define JOIN(a, b) PASTE(a, b)
#define SYMBOL JOIN(_, NAME)
#define SIZE JOIN(SYMBOL, _size)
    .section __TEXT,__const
    .globl SYMBOL, SIZE
    .private_extern SYMBOL
    .private_extern SIZE
    .balign 8
SIZE:
    .quad 1f - SYMBOL
SYMBOL:
    .incbin "scripts.zip"
1:
