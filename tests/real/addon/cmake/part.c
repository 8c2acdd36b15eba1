#include <zlib.h>

unsigned long part(void) { return crc32(0, (const unsigned char *)"a", 1); }
