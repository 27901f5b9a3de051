/* Calls keys that another object defines. The trampoline of `sealed` is all that it can see of that key. */
#include "sharing.h"

static __attribute__((noinline)) long level_mine(long x) { return x + 1000; }
STATIC_CALL_TARGET(level, level_mine);

long consumer_level(long x) { return static_call(level)(x) + 0; }
long consumer_sealed(long x) { return static_call_mod(sealed)(x); }
