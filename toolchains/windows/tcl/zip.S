/* The script library of Tcl or Tk, a zip archive, as read-only data of the DLL: NAME, NAME_size. */
#define JOINED(a, b) a##b
#define JOIN(a, b) JOINED(a, b)
/* (on i386 names of C begin with _) */
#define SCRIPTS JOIN(__USER_LABEL_PREFIX__, NAME)
#define SIZE JOIN(SCRIPTS, _size)
    .section .rdata, "dr"
    .globl SCRIPTS, SIZE
    .balign 8
SIZE:
    .quad 1f - SCRIPTS
SCRIPTS:
    .incbin "scripts.zip"
1:
