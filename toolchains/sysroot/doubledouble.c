/* long double of powerpc64le: the sum of two doubles, the first of them the whole rounded to double. zig's compiler_rt has no such type;
   these are the functions that LLVM calls for it (llvm/include/llvm/IR/RuntimeLibcalls.td, names with ppcf128).
   Exact sums are Knuth's (TAOCP 2, 4.2.2, theorem B), exact products a fused multiply-add's. */
#pragma STDC FP_CONTRACT OFF

typedef long double whole;
typedef __int128 wide;
typedef unsigned __int128 natural;
typedef union {
    whole value;
    double part[2];
} pair;

static whole joined(double high, double low) {
    pair result = {.part = {high, low}};
    return result.value;
}

/* For parts in any order of size. An infinity or a NaN in the first stands alone: the second would turn it into NaN. */
static whole summed(double a, double b) {
    double sum = a + b;
    if (!__builtin_isfinite(sum))
        return joined(sum, 0);
    double of_b = sum - a, of_a = sum - of_b;
    return joined(sum, (a - of_a) + (b - of_b));
}

whole __gcc_qadd(whole left, whole right) {
    pair a = {left}, b = {right};
    pair high = {summed(a.part[0], b.part[0])}, low = {summed(a.part[1], b.part[1])};
    if (!__builtin_isfinite(high.part[0]))
        return high.value;
    pair all = {summed(high.part[0], high.part[1] + low.part[0])};
    all.value = summed(all.part[0], all.part[1] + low.part[1]);
    return all.part[0] == 0 ? joined(a.part[0] + b.part[0], 0) : all.value;
}

whole __gcc_qsub(whole left, whole right) {
    return __gcc_qadd(left, -right);
}

whole __gcc_qmul(whole left, whole right) {
    pair a = {left}, b = {right};
    double product = a.part[0] * b.part[0];
    if (product == 0 || !__builtin_isfinite(product))
        return joined(product, 0);
    double rest = __builtin_fma(a.part[0], b.part[0], -product);
    return summed(product, rest + (a.part[0] * b.part[1] + a.part[1] * b.part[0]));
}

whole __gcc_qdiv(whole left, whole right) {
    pair a = {left}, b = {right};
    double quotient = a.part[0] / b.part[0];
    if (quotient == 0 || !__builtin_isfinite(quotient) || !__builtin_isfinite(b.part[0]))
        return joined(quotient, 0);
    double product = quotient * b.part[0];
    double rest = a.part[0] - product - __builtin_fma(quotient, b.part[0], -product) + a.part[1] - quotient * b.part[1];
    return summed(quotient, rest / b.part[0]);
}

/* 2^64; and the bits of a double: where whole numbers are cut */
#define WORD 18446744073709551616.0
#define EXACT 53

static whole of_word(unsigned long value) {
    return summed((double)(value >> 32) * 4294967296.0, (double)(value & 0xffffffff));
}

whole __floatunditf(unsigned long value) {
    return of_word(value);
}

whole __floatditf(long value) {
    return value < 0 ? -of_word(-(unsigned long)value) : of_word((unsigned long)value);
}

whole __floatuntitf(natural value) {
    whole high = of_word((unsigned long)(value >> 64)), low = of_word((unsigned long)value);
    return __gcc_qadd(__gcc_qmul(high, joined(WORD, 0)), low);
}

whole __floattitf(wide value) {
    return value < 0 ? -__floatuntitf(-(natural)value) : __floatuntitf((natural)value);
}

/* Of 0 <= value < 2^128, towards zero; both parts of a positive number are whole numbers once each is cut. */
static natural cut(whole value) {
    pair a = {value};
    if (__builtin_fabs(a.part[0]) < (double)(1ul << EXACT)) {
        double first = __builtin_trunc(a.part[0]);
        int exact = first == a.part[0];
        return (natural)first - (exact && a.part[1] < 0 && first > 0);
    }
    natural first = (natural)a.part[0];
    double second = __builtin_floor(a.part[1]);
    return second < 0 ? first - (natural)-second : first + (natural)second;
}

natural __fixunstfti(whole value) {
    pair a = {value};
    if (!(a.part[0] > 0))
        return 0;
    return a.part[0] >= WORD * WORD ? ~(natural)0 : cut(value);
}

wide __fixtfti(whole value) {
    pair a = {value};
    const wide most = (wide)(~(natural)0 >> 1);
    if (__builtin_fabs(a.part[0]) >= WORD * WORD / 2)
        return a.part[0] < 0 ? -most - 1 : most;
    return a.part[0] < 0 ? -(wide)cut(-value) : a.part[0] > 0 ? (wide)cut(value) : 0;
}

unsigned long __fixunstfdi(whole value) {
    natural all = __fixunstfti(value);
    return all >> 64 ? ~0ul : (unsigned long)all;
}

long __fixtfdi(whole value) {
    wide all = __fixtfti(value), most = (wide)(~0ul >> 1);
    return (long)(all > most ? most : all < -most - 1 ? -most - 1 : all);
}

unsigned __fixunstfsi(whole value) {
    unsigned long all = __fixunstfdi(value);
    return all >> 32 ? ~0u : (unsigned)all;
}
