/* A builtin that zig lacks: 32-bit x86 asks for it at run time, as an 8-byte integer may lie at any multiple of 4 there. */
_Bool lock_free(__SIZE_TYPE__ size, const volatile void *place) __asm__("__atomic_is_lock_free");

_Bool lock_free(__SIZE_TYPE__ size, const volatile void *place) {
    return size && size <= 8 && !(size & (size - 1)) && !((__UINTPTR_TYPE__)place & (size - 1));
}
