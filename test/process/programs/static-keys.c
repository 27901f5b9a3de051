/* Static keys beside a static call, switched from JavaScript and from C. */
#include <static_key.h>

DEFINE_STATIC_KEY_FALSE(tracing);
DEFINE_STATIC_KEY_TRUE(fast);

static int one(int a) { return a + 1; }
int two(int a) { return a + 2; }
DEFINE_STATIC_CALL(work, one);
STATIC_CALL_TARGET(work, two);

int traces;

int step(int a)
{
	if (static_branch_unlikely(&tracing))
		traces += a;
	if (static_branch_likely(&fast))
		return static_call(work)(a);
	return -a;
}

/* Both keys by the branches that jump while they are off and while they are on. */
int seen(void)
{
	return (static_branch_likely(&tracing) ? 1 : 0) + (static_branch_unlikely(&tracing) ? 2 : 0) +
	       (static_branch_likely(&fast) ? 4 : 0) + (static_branch_unlikely(&fast) ? 8 : 0);
}

int enable(void) { return static_branch_enable(&tracing); }
int disable(void) { return static_branch_disable(&tracing); }
int inc(void) { return static_branch_inc(&tracing); }
int dec(void) { return static_branch_dec(&tracing); }
int users(void) { return static_key_count(&tracing.key); }
int flagged(void) { return static_key_enabled(&tracing) ? 1 : 0; }
