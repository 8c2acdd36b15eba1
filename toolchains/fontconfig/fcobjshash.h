/* The table that fontconfig has gperf make of fcobjs.h: the number of a property, by its name. Some fifty short names: a walk is quick. */
struct FcObjectTypeInfo {
    const char *name;
    int id;
};

static const struct FcObjectTypeInfo *
FcObjectTypeLookup(const char *str, FC_GPERF_SIZE_T len)
{
    static const struct FcObjectTypeInfo table[] = {
#define FC_OBJECT(NAME, Type, Cmp) {FC_##NAME, FC_##NAME##_OBJECT},
#include "fcobjs.h"
#undef FC_OBJECT
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (strncmp(table[i].name, str, len) == 0 && table[i].name[len] == '\0')
            return &table[i];
    return NULL;
}
