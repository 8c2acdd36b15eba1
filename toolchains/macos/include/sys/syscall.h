/* Apple's <sys/syscall.h> numbers system calls, which are no interface of macOS: libSystem is. So none is named here. */
#ifndef _FS_SYS_SYSCALL_H_
#define _FS_SYS_SYSCALL_H_
#endif
