/* Apple's <utmp.h>, which <utmpx.h> replaced in Mac OS X 10.5: sizes of the fields of a record, utmp(5). */
#ifndef _FS_UTMP_H_
#define _FS_UTMP_H_

#include <sys/types.h>

#define UT_NAMESIZE 8
#define UT_LINESIZE 8
#define UT_HOSTSIZE 16

struct utmp {
    char ut_line[UT_LINESIZE];
    char ut_name[UT_NAMESIZE];
    char ut_host[UT_HOSTSIZE];
    long ut_time;
};

#endif
