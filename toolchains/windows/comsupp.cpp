// What COM's classes for C++ (comutil.h) ask of the C++ library, for _wmi: memory. Without exceptions there is no way on when there is none.
#include <new>
#include <stdlib.h>

static void *need(size_t size) {
    void *at = malloc(size ? size : 1);
    if (at == NULL)
        abort();
    return at;
}

void *operator new(size_t size) { return need(size); }
void *operator new[](size_t size) { return need(size); }
void *operator new[](size_t size, const std::nothrow_t &) noexcept { return malloc(size ? size : 1); }
void operator delete(void *at) noexcept { free(at); }
void operator delete[](void *at) noexcept { free(at); }
void operator delete(void *at, size_t) noexcept { free(at); }
void operator delete[](void *at, size_t) noexcept { free(at); }
