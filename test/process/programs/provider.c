/* Defines keys that other objects use: one exported whole, one by its trampoline alone. */
#include "sharing.h"

static __attribute__((noinline)) long level_low(long x) { return x + 1; }
static __attribute__((noinline)) long level_high(long x) { return x + 100; }
DEFINE_STATIC_CALL(level, level_low);
STATIC_CALL_TARGET(level, level_high);
EXPORT_STATIC_CALL(level);

static __attribute__((noinline)) long sealed_off(long x) { return x; }
static __attribute__((noinline)) long sealed_on(long x) { return -x; }
DEFINE_STATIC_CALL(sealed, sealed_off);
STATIC_CALL_TARGET(sealed, sealed_on);
EXPORT_STATIC_CALL_TRAMP(sealed);

long provider_level(long x) { return static_call(level)(x); }
long provider_sealed(long x) { return static_call(sealed)(x); }

/* Through the pointer that C code queries, and not through a site. */
long provider_queried(long x) { return static_call_query(sealed)(x); }
