/* What fontconfig's configure would find out on a Linux target, and the names of src/makealias left alone: in a static library
   whose symbols are hidden its internal aliases gain nothing. */
#include <features.h>
#define FLEXIBLE_ARRAY_MEMBER
#define SIZEOF_VOID_P __SIZEOF_POINTER__
#define ALIGNOF_VOID_P __SIZEOF_POINTER__
#ifdef __i386__
#define ALIGNOF_DOUBLE 4
#else
#define ALIGNOF_DOUBLE 8
#endif
#define FC_GPERF_SIZE_T size_t
#define GETTEXT_PACKAGE "fontconfig"
#define HAVE_DIRENT_H 1
#define HAVE_FCNTL_H 1
#define HAVE_FSTATFS 1
#define HAVE_FSTATVFS 1
#define HAVE_FT_DONE_MM_VAR 1
#define HAVE_FT_GET_BDF_PROPERTY 1
#define HAVE_FT_GET_PS_FONT_INFO 1
#define HAVE_FT_GET_X11_FONT_FORMAT 1
#define HAVE_FT_HAS_PS_GLYPH_NAMES 1
#define HAVE_INTTYPES_H 1
#define HAVE_LINK 1
#define HAVE_LRAND48 1
#define HAVE_LSTAT 1
#define HAVE_MKDTEMP 1
#define HAVE_MKOSTEMP 1
#define HAVE_MKSTEMP 1
#define HAVE_MMAP 1
#define HAVE_POSIX_FADVISE 1
#define HAVE_PTHREAD 1
#define HAVE_RAND 1
#define HAVE_RANDOM 1
#ifdef __GLIBC__
#define HAVE_RANDOM_R 1
#endif
#define HAVE_RAND_R 1
#define HAVE_READLINK 1
#define HAVE_SCHED_H 1
#define HAVE_SCHED_YIELD 1
#define HAVE_STDATOMIC_PRIMITIVES 1
#define HAVE_STDINT_H 1
#define HAVE_STDIO_H 1
#define HAVE_STDLIB_H 1
#define HAVE_STRERROR 1
#define HAVE_STRERROR_R 1
#define HAVE_STRING_H 1
#define HAVE_STRUCT_DIRENT_D_TYPE 1
#define HAVE_STRUCT_STATFS_F_FLAGS 1
#define HAVE_STRUCT_STAT_ST_MTIM 1
#define HAVE_SYS_PARAM_H 1
#define HAVE_SYS_STATFS_H 1
#define HAVE_SYS_STATVFS_H 1
#define HAVE_SYS_STAT_H 1
#define HAVE_SYS_TYPES_H 1
#define HAVE_SYS_VFS_H 1
#define HAVE_UNISTD_H 1
#define HAVE_VPRINTF 1
#define HAVE_WARNING_CPP_DIRECTIVE 1
#define HAVE_WCHAR_H 1
#define HAVE_XML_SETDOCTYPEDECLHANDLER 1
/* Only where there is no fonts.conf: the folders that FC_DEFAULT_FONTS names are scanned as they are. */
#define FC_DEFAULT_FONTS "<dir>/usr/share/fonts</dir><dir>/usr/local/share/fonts</dir><dir>/usr/share/X11/fonts</dir>"
#define FC_CACHEDIR "/var/cache/fontconfig"
#define FONTCONFIG_PATH "/etc/fonts"
#define CONFIGDIR "/etc/fonts/conf.d"
#define FC_TEMPLATEDIR "/usr/share/fontconfig/conf.avail"
