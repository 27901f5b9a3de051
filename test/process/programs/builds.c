/* One program for many compilers, languages, linkers and flags. */
#include <static_call.h>

#ifdef __cplusplus
#define API extern "C" __attribute__((visibility("default")))
#else
#define API __attribute__((visibility("default")))
#endif

static int one(int a) { return a + 1; }
static int two(int a) { return a + 2; }

/* Which function an IFUNC is, the dynamic linker asks; the file does not know. */
static int seven(int a) { return a + 7; }
#ifdef __cplusplus
extern "C" {
#endif
__attribute__((visibility("hidden"))) int (*pick(void))(int) { return seven; }
#ifndef NO_IFUNC
int picked(int a) __attribute__((ifunc("pick")));
#else
__attribute__((visibility("hidden"))) int picked(int a) { return pick()(a); }
#endif
/* In another object, the C library. */
int toascii(int c);
#ifdef __cplusplus
}
#endif

DEFINE_STATIC_CALL(work, one);
STATIC_CALL_TARGET(work, two);
STATIC_CALL_TARGET(work, picked);
STATIC_CALL_TARGET(work, toascii);

static int calls;
static void count(int a) { calls += a; }
DEFINE_STATIC_CALL_NULL(trace, count);
STATIC_CALL_TARGET(trace, count);
DEFINE_STATIC_CALL_RET0(filter, one);
STATIC_CALL_TARGET(filter, two);

/* A site that runs before anybody can have opened the object. */
static int early;
__attribute__((constructor)) static void construct(void) { early = static_call(work)(40); }

#ifdef __cplusplus
template <class T> static T through(T a) { auto call = [](T b) { return static_call(work)(b); }; return call(a); }
#else
static inline int through(int a) { return static_call(work)(a); }
#endif

API int use(int a)
{
	static_call_cond(trace)(1);
	return through(a) * 1000 + static_call(filter)(a) * 10 + calls;
}
API int tail(int a) { return static_call(work)(a); }
API int first(void) { return early; }
