/* Kernel controls (PF_SYSTEM sockets): protocols of the domain, and the address family in sockaddr_ctl; xnu bsd/sys/sys_domain.h. */
#ifndef _FS_SYS_SYS_DOMAIN_H_
#define _FS_SYS_SYS_DOMAIN_H_

#include <sys/types.h>

#define SYSPROTO_EVENT 1
#define SYSPROTO_CONTROL 2
#define AF_SYS_CONTROL 2

#endif
