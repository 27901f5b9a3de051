/* What clang makes a conditional tail call of where size counts. */
#include "static_call.h"

static long act_one(long x) { return x + 1; }
static __attribute__((noinline)) long act_two(long x) { return x + 2; }
DEFINE_STATIC_CALL(act, act_one);
STATIC_CALL_TARGET(act, act_two);
STATIC_CALL_TARGET_RET0(act);

long jcc_pass(long x)
{
	if (x < 0)
		return static_call(act)(x);
	return x + 100;
}
