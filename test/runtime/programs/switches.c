// Static keys in a program with a runtime of its own: argv[1] names what is done with them.

#include <errno.h>
#include <pthread.h>
#include <static_key.h>
#include <stdio.h>

DEFINE_STATIC_KEY_FALSE(tracing);
DEFINE_STATIC_KEY_TRUE(caching);
static DEFINE_STATIC_KEY_FALSE(untested);

__attribute__((noinline)) static int state(void)
{
	int answer = 0;

	if (static_branch_unlikely(&tracing))
		answer |= 1;
	if (static_branch_likely(&caching))
		answer |= 2;
	return answer;
}

static int failed;
#define CHECK(what)                                                      \
	do {                                                             \
		if (!(what)) {                                           \
			printf("%d: %s\n", __LINE__, #what);             \
			failed = 1;                                      \
		}                                                        \
	} while (0)

static int stop;
static void *tests(void *none)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		CHECK(state() <= 3);
	return none;
}

int main(void)
{
	pthread_t thread;
	int i;

	CHECK(state() == 2);
	CHECK(static_branch_enable(&tracing) == 0 && state() == 3 && static_key_enabled(&tracing));
	CHECK(static_branch_enable(&tracing) == 0 && static_key_count(&tracing.key) == 1);
	CHECK(static_branch_disable(&caching) == 0 && state() == 1 && !static_key_enabled(&caching));
	CHECK(static_branch_disable(&caching) == 0);
	CHECK(static_branch_inc(&tracing) == 0 && static_branch_disable(&tracing) == -EBUSY && state() == 1);
	CHECK(static_branch_dec(&tracing) == 0 && state() == 1 && static_branch_dec(&tracing) == 0 && state() == 0);
	CHECK(static_branch_dec(&tracing) == -EINVAL);
	CHECK(static_branch_inc(&caching) == 0 && state() == 2 && static_key_count(&caching.key) == 1);
	CHECK(static_branch_enable(&untested) == 0 && static_key_enabled(&untested));
	pthread_create(&thread, NULL, tests, NULL);
	for (i = 0; i < 200; i++)
		CHECK(static_branch_inc(&tracing) == 0 && state() == 3 && static_branch_dec(&tracing) == 0 && state() == 2);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	return failed;
}
