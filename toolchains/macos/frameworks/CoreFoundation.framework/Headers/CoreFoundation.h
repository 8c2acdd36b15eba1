/* What _scproxy uses of Core Foundation: types, functions and values as Apple documents them (developer.apple.com, Core Foundation:
   CFString, CFNumber, CFDictionary, CFArray, CFBase). */
#ifndef _FS_COREFOUNDATION_H_
#define _FS_COREFOUNDATION_H_

#include <stdint.h>
#include <string.h>
#include <sys/cdefs.h>

typedef const void *CFTypeRef;
typedef const struct __CFString *CFStringRef;
typedef const struct __CFNumber *CFNumberRef;
typedef const struct __CFDictionary *CFDictionaryRef;
typedef const struct __CFArray *CFArrayRef;
typedef unsigned char Boolean;
typedef signed long CFIndex;
typedef uint32_t CFStringEncoding;
typedef CFIndex CFNumberType;

enum { kCFStringEncodingUTF8 = 0x08000100 };
enum { kCFNumberSInt32Type = 3 };

__BEGIN_DECLS
void CFRelease(CFTypeRef);
CFIndex CFArrayGetCount(CFArrayRef);
const void *CFArrayGetValueAtIndex(CFArrayRef, CFIndex);
const void *CFDictionaryGetValue(CFDictionaryRef, const void *);
Boolean CFNumberGetValue(CFNumberRef, CFNumberType, void *);
CFIndex CFStringGetLength(CFStringRef);
const char *CFStringGetCStringPtr(CFStringRef, CFStringEncoding);
Boolean CFStringGetCString(CFStringRef, char *, CFIndex, CFStringEncoding);
__END_DECLS

#endif
