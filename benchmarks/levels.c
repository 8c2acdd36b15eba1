/* What OpenSSL takes for what Python asks of it, in microseconds: a line each, the best of seven rounds of a tenth of a second. See levels.py. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 7, MESSAGE = 16384, DIGEST = 64 };
static unsigned char data[MESSAGE], out[2 * MESSAGE];
static const double ROUND = 0.1;

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

static void need(int fine) {
    if (!fine) {
        fputs("an operation failed\n", stderr);
        exit(1);
    }
}

#define TIME(name, what, ...) do { \
    double best = 1e9; \
    for (int round = 0; round < ROUNDS; round++) { \
        long count = 0; \
        double start = seconds(), each; \
        do { __VA_ARGS__; count++; } while (seconds() - start < ROUND); \
        each = (seconds() - start) / count; \
        if (each < best) best = each; \
    } \
    printf("%s%s %.3f\n", name, what, best * 1e6); \
} while (0)

static void digest(const char *name) {
    EVP_MD *md = EVP_MD_fetch(NULL, name, NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned length;
    TIME(name, "", need(EVP_DigestInit_ex(ctx, md, NULL) && EVP_DigestUpdate(ctx, data, MESSAGE) && EVP_DigestFinal_ex(ctx, out, &length)));
}

static void encrypt(const char *name) {
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    unsigned char key[64] = {1}, iv[16] = {2};
    int done, last;
    TIME(name, "", need(EVP_EncryptInit_ex(ctx, cipher, NULL, key, iv) && EVP_EncryptUpdate(ctx, out, &done, data, MESSAGE)
                        && EVP_EncryptFinal_ex(ctx, out + done, &last)));
}

static void exchange(const char *name) {
    EVP_PKEY *key = NULL;
    unsigned char wrapped[4096], secret[128];
    size_t wrapped_size, secret_size;
    TIME(name, " generate", EVP_PKEY_free(key); key = EVP_PKEY_Q_keygen(NULL, NULL, name); need(key != NULL));
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    need(EVP_PKEY_encapsulate_init(ctx, NULL) > 0);
    TIME(name, " encapsulate", wrapped_size = sizeof wrapped; secret_size = sizeof secret;
         need(EVP_PKEY_encapsulate(ctx, wrapped, &wrapped_size, secret, &secret_size) > 0));
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    need(EVP_PKEY_decapsulate_init(ctx, NULL) > 0);
    TIME(name, " decapsulate", secret_size = sizeof secret;
         need(EVP_PKEY_decapsulate(ctx, secret, &secret_size, wrapped, wrapped_size) > 0));
}

static void sign(const char *name, EVP_PKEY *key, const char *md) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char signature[8192];
    size_t size;
    need(key != NULL);
    TIME(name, " sign", size = sizeof signature; EVP_MD_CTX_reset(ctx);
         need(EVP_DigestSignInit_ex(ctx, NULL, md, NULL, NULL, key, NULL) && EVP_DigestSign(ctx, signature, &size, data, DIGEST)));
    TIME(name, " verify", EVP_MD_CTX_reset(ctx);
         need(EVP_DigestVerifyInit_ex(ctx, NULL, md, NULL, NULL, key, NULL) && EVP_DigestVerify(ctx, signature, size, data, DIGEST) == 1));
}

int main(void) {
    const char *digests[] = {"SHA256", "SHA512", "SHA3-256", "BLAKE2B512", "MD5", "SHA1"};
    const char *ciphers[] = {"AES-256-GCM", "ChaCha20-Poly1305", "AES-256-CBC"};
    const char *exchanges[] = {"X25519MLKEM768", "ML-KEM-768"};
    for (size_t at = 0; at < sizeof digests / sizeof *digests; at++) digest(digests[at]);
    for (size_t at = 0; at < sizeof ciphers / sizeof *ciphers; at++) encrypt(ciphers[at]);
    for (size_t at = 0; at < sizeof exchanges / sizeof *exchanges; at++) exchange(exchanges[at]);
    sign("RSA-2048", EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048), "SHA256");
    sign("P-256", EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), "SHA256");
    sign("P-384", EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384"), "SHA384");
    sign("P-521", EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521"), "SHA512");
    sign("Ed25519", EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL);
    sign("ML-DSA-65", EVP_PKEY_Q_keygen(NULL, NULL, "ML-DSA-65"), NULL);
}
