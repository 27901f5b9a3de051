/* A key that is called, tail called and empty at first, for targets that lie anywhere. */
#include "static_call.h"

static long near_target(long x) { return x + 1; }
DEFINE_STATIC_CALL(far, near_target);
static int eight(int x) { return x + 8; }
DEFINE_STATIC_CALL_RET0(zero, eight);
STATIC_CALL_TARGET(zero, eight);

long far_call(long x) { return static_call(far)(x) + 100; }
long far_tail(long x) { return static_call(far)(x); }
long far_query(long x) { return static_call_query(far)(x); }
int zero_call(int x) { return static_call(zero)(x) + 100; }
