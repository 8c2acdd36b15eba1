/* What a C program of a foreign target must get right: printed, and compared with what the arithmetic says (test_emulation.py). */
#include <complex.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static _Atomic uint64_t wide;
static _Thread_local int own;
static _Atomic uint64_t *volatile somewhere = &wide;
volatile double two = 2;
volatile long double three = 3;
volatile uint64_t big = 12345678901234567u;

static void *count(void *unused) {
    for (int i = 0; i < 1000; i++) {
        wide += 0x100000001u;
        own++;
    }
    return (void *)(intptr_t)own;
}

int main(void) {
    pthread_t threads[4];
    void *each = 0;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], 0, count, 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], &each);
    printf("atomic %" PRIx64 " own %d\n", (uint64_t)wide, (int)(intptr_t)each);
    printf("lock-free %d\n", (int)__atomic_is_lock_free(sizeof wide, somewhere));
    printf("exp %.15g root %.15Lg seventh %.15Lg scaled %.15Lg\n", exp(two), sqrtl(three), three / 7, three * (long double)big);
    printf("whole %" PRId64 " %" PRIu64 "\n", (int64_t)(three * -1e12L), (uint64_t)(three * 6e18L));
    double complex z = two + 3.0 * I, ratio = z * z / (1.0 + I * two / 2);
    long double complex lz = three + 2.0L * I, lratio = lz * lz / (1.0L + I * three / 3);
    float complex fz = (float)two + 3.0f * I, fratio = fz * fz / (1.0f + I * (float)two / 2);
    printf("complex %g %g %Lg %Lg %g %g\n", creal(ratio), cimag(ratio), creall(lratio), cimagl(lratio), crealf(fratio), cimagf(fratio));
    printf("quotient %" PRIu64 " %" PRIu64 "\n", big / 1000003u, big % 1000003u);
#ifdef __SIZEOF_INT128__
    unsigned __int128 square = (unsigned __int128)big * big;
    printf("square %" PRIu64 " %" PRIu64 "\n", (uint64_t)(square / 1000000007u), (uint64_t)(square % 1000000007u));
#endif
    printf("size %d %d\n", (int)sizeof(void *), (int)sizeof(time_t));
    return 0;
}
