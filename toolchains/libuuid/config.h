/* What libuuid asks of its platform: Linux with glibc 2.17 or later, or musl. Nothing newer is named (getrandom, explicit_bzero, ...):
   randutils.c then makes the system call itself. No HAVE_UUIDD: no daemon's socket at a fixed path. */
#include <features.h>
#ifdef __GLIBC_PREREQ
/* riscv64 and loongarch64 begin later than 2.17 */
#  if __GLIBC_PREREQ(2, 26)
#    define HAVE_REALLOCARRAY 1
#  endif
#endif
#define HAVE_BYTESWAP_H 1
#define HAVE_DECL_DIRFD 1
#define HAVE_DIRFD 1
#define HAVE_ENDIAN_H 1
#define HAVE_ERR 1
#define HAVE_ERRX 1
#define HAVE_ERR_H 1
#define HAVE_JRAND48 1
#define HAVE_LANGINFO_H 1
#define HAVE_LIBPTHREAD 1
#define HAVE_LOCALE_H 1
#define HAVE_LOFF_T 1
#define HAVE_MEMPCPY 1
#define HAVE_NANOSLEEP 1
#define HAVE_NETINET_IN_H 1
#define HAVE_NET_IF_H 1
#define HAVE_OPENAT 1
#define HAVE_PROGRAM_INVOCATION_SHORT_NAME 1
#define HAVE_SENDFILE 1
#define HAVE_SRANDOM 1
#define HAVE_STDLIB_H 1
#define HAVE_STRNDUP 1
#define HAVE_STRNLEN 1
#define HAVE_STRUCT_STAT_ST_MTIM_TV_NSEC 1
#define HAVE_SYS_FILE_H 1
#define HAVE_SYS_IOCTL_H 1
#define HAVE_SYS_SENDFILE_H 1
#define HAVE_SYS_SOCKET_H 1
#define HAVE_SYS_SYSCALL_H 1
#define HAVE_SYS_SYSMACROS_H 1
#define HAVE_SYS_TIME_H 1
#define HAVE_SYS_UN_H 1
#define HAVE_TIMEGM 1
#define HAVE_TLS 1
#define HAVE_UNISTD_H 1
#define HAVE_USLEEP 1
#define HAVE_WARN 1
#define HAVE_WARNX 1
/* the clock state that uuid_generate_time keeps where it may */
#define _PATH_LOCALSTATEDIR "/var"
