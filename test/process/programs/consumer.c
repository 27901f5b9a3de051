/* Calls keys that another object defines. The trampoline of `sealed` is all that it can see of that key. */
#include "sharing.h"

static __attribute__((noinline)) long level_mine(long x) { return x + 1000; }
STATIC_CALL_TARGET(level, level_mine);

long consumer_level(long x)
{
	long result = static_call(level)(x);

	__asm__ volatile("" : "+r"(result)); /* keeps it a call */
	return result;
}
long consumer_sealed(long x) { return static_call_mod(sealed)(x); }
/* With this object's own copy of the return-0 function. */
int consumer_zeroes_level(void) { return static_call_update(level, STATIC_CALL_RETURN0(level)); }
