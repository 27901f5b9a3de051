/* Linked into an executable (test/process/own.ts): functions that need nothing of anybody. */
#include "static_call.h"

static __attribute__((noinline)) long own_one(long x) { return x + 1; }
static __attribute__((noinline)) long own_two(long x) { return x + 2; }
DEFINE_STATIC_CALL(own, own_one);
STATIC_CALL_TARGET(own, own_two);
STATIC_CALL_TARGET_RET0(own);

/* Its site begins a quadword, so that `store` takes it. */
long own_pass(long x)
{
	__asm__ volatile(".p2align 3" : "+D"(x));
	return static_call(own)(x) * 2;
}
long own_tail(long x) { return static_call(own)(x); }

#ifdef PROGRAM
#include <stdio.h>
int main(int count, char **words)
{
	(void)words;
	printf("%ld %ld\n", own_pass(count), own_tail(count));
	return 0;
}
#endif
