/* Two objects, by -DCONSUMER: a key and its targets behind a version script, and who calls it from outside. */
#define STATIC_CALL_EXPORTED_level 1
#include "static_call.h"

long level_proto(long x);
DECLARE_STATIC_CALL(level, level_proto);

#ifdef CONSUMER
/* The version that was there when this was linked, years ago. */
__asm__(".symver chosen, chosen@V1");
long chosen(long x);
STATIC_CALL_TARGET(level, chosen);
long consumer_level(long x) { return static_call(level)(x) + 1000; }
#else
long chosen_old(long x) { return x + 10; }
long chosen_new(long x) { return x + 20; }
__asm__(".symver chosen_old, chosen@V1");
__asm__(".symver chosen_new, chosen@@V2");

static long level_low(long x) { return x + 1; }
__attribute__((visibility("hidden"), noinline)) long secret(long x) { return x + 2; }
/* Exported by its declaration, and local by the script. */
__attribute__((noinline)) long withdrawn(long x) { return x + 3; }
DEFINE_STATIC_CALL(level, level_low);
STATIC_CALL_TARGET(level, secret);
STATIC_CALL_TARGET(level, withdrawn);
STATIC_CALL_TARGET(level, chosen_old);
EXPORT_STATIC_CALL(level);

/* A key that the script makes local though it is exported here. */
#define STATIC_CALL_EXPORTED_inner 1
static int inner_one(void) { return 1; }
static int inner_two(void) { return 2; }
DECLARE_STATIC_CALL(inner, inner_one);
DEFINE_STATIC_CALL(inner, inner_one);
STATIC_CALL_TARGET(inner, inner_two);
EXPORT_STATIC_CALL(inner);

long provider_level(long x) { return static_call(level)(x); }
int provider_inner(void) { return static_call(inner)(); }
#endif
