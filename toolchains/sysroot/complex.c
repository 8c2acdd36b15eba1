/* Complex product and quotient as C17 G.5.1 wants them. In place of zig's where it returns a pair of floats in another place
   than the procedure call standard says: i386 (two floats: registers are due, not memory), soft-float Arm (memory, not registers),
   powerpc64le (the parts are exchanged). */
#pragma STDC FP_CONTRACT OFF

/* 2^exponent */
static double power(int exponent) {
    union {
        unsigned long long bits;
        double value;
    } result = {(unsigned long long)(1023 + exponent) << 52};
    return result.value;
}

/* Of a finite number that is not 0: the exponent of its first bit, -1023 for all subnormal ones. */
static int exponent(double size) {
    union {
        double value;
        unsigned long long bits;
    } number = {size};
    return (int)(number.bits >> 52 & 0x7ff) - 1023;
}

#if __LDBL_MANT_DIG__ == 64
typedef union {
    struct {
        unsigned long long mantissa;
        unsigned short exponent;
    } field;
    long double value;
} extended;

static long double extended_power(int exponent) {
    extended result = {{1ull << 63, (unsigned short)(16383 + exponent)}};
    return result.value;
}

static int extended_exponent(long double size) {
    extended number = {.value = size};
    return (number.field.exponent & 0x7fff) - 16383;
}
#endif

/* boxed: a part that is infinite counts as 1 with its sign, a finite one as 0; then an infinity is not lost as NaN.
   The divisor is scaled by a power of two, in two factors that the type can hold: its square neither overflows nor vanishes. */
#define COMPLEX(name, T, exponent, power) \
    static T signed_##name(double size, T like) { return (T)__builtin_copysign(size, (double)like); } \
    static T boxed_##name(T part) { return signed_##name(__builtin_isinf(part) ? 1 : 0, part); } \
    static T number_##name(T part) { return __builtin_isnan(part) ? signed_##name(0, part) : part; } \
\
    T _Complex __mul##name##3(T a, T b, T c, T d) { \
        T x = a * c - b * d, y = a * d + b * c, infinity = (T)__builtin_inf(); \
        if (__builtin_isnan(x) && __builtin_isnan(y)) { \
            int left = __builtin_isinf(a) || __builtin_isinf(b), right = __builtin_isinf(c) || __builtin_isinf(d); \
            int over = __builtin_isinf(a * c) || __builtin_isinf(b * d) || __builtin_isinf(a * d) || __builtin_isinf(b * c); \
            if (left) \
                a = boxed_##name(a), b = boxed_##name(b); \
            if (right) \
                c = boxed_##name(c), d = boxed_##name(d); \
            if (left || right || over) { \
                a = number_##name(a), b = number_##name(b), c = number_##name(c), d = number_##name(d); \
                x = infinity * (a * c - b * d), y = infinity * (a * d + b * c); \
            } \
        } \
        return __builtin_complex(x, y); \
    } \
\
    T _Complex __div##name##3(T a, T b, T c, T d) { \
        T first = c < 0 ? -c : c, second = d < 0 ? -d : d, infinity = (T)__builtin_inf(); \
        T size = first > second || second != second ? first : second; \
        int shift = __builtin_isfinite(size) && size != 0 ? exponent(size) : 0; \
        T half = (T)power(-(shift / 2)), rest = (T)power(-(shift - shift / 2)); \
        c = c * half * rest, d = d * half * rest; \
        T square = c * c + d * d, x = (a * c + b * d) / square * half * rest, y = (b * c - a * d) / square * half * rest; \
        if (__builtin_isnan(x) && __builtin_isnan(y)) { \
            if (square == 0 && (!__builtin_isnan(a) || !__builtin_isnan(b))) \
                x = signed_##name(__builtin_inf(), c) * a, y = signed_##name(__builtin_inf(), c) * b; \
            else if ((__builtin_isinf(a) || __builtin_isinf(b)) && __builtin_isfinite(c) && __builtin_isfinite(d)) \
                a = boxed_##name(a), b = boxed_##name(b), x = infinity * (a * c + b * d), y = infinity * (b * c - a * d); \
            else if (__builtin_isinf(size) && __builtin_isfinite(a) && __builtin_isfinite(b)) \
                c = boxed_##name(c), d = boxed_##name(d), x = 0 * (a * c + b * d), y = 0 * (b * c - a * d); \
        } \
        return __builtin_complex(x, y); \
    }

COMPLEX(sc, float, exponent, power)
COMPLEX(dc, double, exponent, power)
#if __LDBL_MANT_DIG__ == 64
COMPLEX(xc, long double, extended_exponent, extended_power)
#elif __LDBL_MANT_DIG__ == 106
COMPLEX(tc, long double, exponent, power)
#endif
