/* Terminals: Apple's <util.h>; prototypes as in openpty(3) of macOS. The functions are in libSystem. */
#ifndef _FS_UTIL_H_
#define _FS_UTIL_H_

#include <sys/cdefs.h>
#include <sys/ioctl.h>
#include <sys/types.h>
#include <termios.h>

__BEGIN_DECLS
int login_tty(int);
int openpty(int *, int *, char *, struct termios *, struct winsize *);
pid_t forkpty(int *, char *, struct termios *, struct winsize *);
__END_DECLS

#endif
