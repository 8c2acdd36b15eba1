/* dlopen and its kin in a static program: musl's own answer nothing there. The program is the one object that is loaded; what it exports can
   be looked up (ctypes.pythonapi), and code finds the file that it is in, beside which certificates and terminals lie. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <limits.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

/* set by the linker: where the program begins and ends, and its dynamic section, whose addresses are relative to the beginning */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));
extern const ElfW(Dyn) _DYNAMIC[] __attribute__((visibility("hidden")));

static _Thread_local const char *problem;

static const void *
dynamic(long tag)
{
    for (const ElfW(Dyn) *entry = _DYNAMIC; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == tag) {
            return __ehdr_start + entry->d_un.d_ptr;
        }
    }
    return NULL;
}

static int
is_exported(const ElfW(Sym) *symbol)
{
    int type = symbol->st_info & 15;
    return symbol->st_shndx != SHN_UNDEF && (type == STT_FUNC || type == STT_OBJECT || type == STT_NOTYPE);
}

void *
dlopen(const char *file, int mode)
{
    (void)mode;
    if (file == NULL) {
        return (void *)__ehdr_start;
    }
    problem = "this Python is a static program, which cannot load shared libraries";
    return NULL;
}

int
dlclose(void *handle)
{
    (void)handle;
    return 0;
}

char *
dlerror(void)
{
    const char *told = problem;
    problem = NULL;
    return (char *)told;
}

void *
dlsym(void *restrict handle, const char *restrict name)
{
    const ElfW(Sym) *symbols = dynamic(DT_SYMTAB);
    const Elf32_Word *table = dynamic(DT_HASH);
    const char *names = dynamic(DT_STRTAB);
    Elf32_Word hash = 0;
    (void)handle;
    /* the hash function of the System V ABI, which DT_HASH is made with: number of buckets and of chains, buckets, chains */
    for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
        hash = (hash << 4) + *c;
        hash = (hash ^ (hash >> 24 & 0xf0)) & 0x0fffffff;
    }
    if (symbols != NULL && table != NULL && names != NULL) {
        const Elf32_Word *buckets = table + 2, *chains = buckets + table[0];
        for (Elf32_Word i = buckets[hash % table[0]]; i != 0; i = chains[i]) {
            if (is_exported(&symbols[i]) && strcmp(names + symbols[i].st_name, name) == 0) {
                return (void *)(__ehdr_start + symbols[i].st_value);
            }
        }
    }
    problem = "this static program has no such symbol";
    return NULL;
}

int
dladdr(const void *address, Dl_info *info)
{
    static char file[PATH_MAX];
    const ElfW(Sym) *symbols = dynamic(DT_SYMTAB), *nearest = NULL;
    const Elf32_Word *table = dynamic(DT_HASH);
    const char *names = dynamic(DT_STRTAB), *place = address;
    if (place < __ehdr_start || place >= _end) {
        return 0;
    }
    /* every thread writes the same bytes */
    if (readlink("/proc/self/exe", file, sizeof(file) - 1) <= 0) {
        return 0;
    }
    for (Elf32_Word i = 1; symbols != NULL && table != NULL && i < table[1]; i++) {
        if (is_exported(&symbols[i]) && symbols[i].st_value <= (size_t)(place - __ehdr_start)
            && (nearest == NULL || symbols[i].st_value > nearest->st_value)) {
            nearest = &symbols[i];
        }
    }
    info->dli_fname = file;
    info->dli_fbase = (void *)__ehdr_start;
    info->dli_sname = nearest ? names + nearest->st_name : NULL;
    info->dli_saddr = nearest ? (void *)(__ehdr_start + nearest->st_value) : NULL;
    return 1;
}
