/* fmaxf128 is in no glibc before 2.26, but zig's builtins are one object file that calls it (complex division of __float128).
   Where the compiler has no such type, there is no such call. */
#ifdef __SIZEOF_FLOAT128__
__float128 fmaxf128(__float128 a, __float128 b);

__float128 fmaxf128(__float128 a, __float128 b)
{
    return b != b || a > b ? a : b;
}
#endif
