/* What two tools retarget while it runs: one thread calls all the time and measures the longest time from one call
 * to the next, through the place that is changed ("through") or another one; the first thread waits
 * for lines. "longest" answers that time in nanoseconds and begins anew, "calls N" the nanoseconds
 * of a call, of N. The first line names where the two functions lie. */
#define _GNU_SOURCE
#include <pthread.h>
#include <static_call.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Long enough for any tool's jump. */
#define FUNCTION(name, factor)                                                                                        \
	__attribute__((noinline, noclone)) static int name(int x)                                                     \
	{                                                                                                             \
		volatile int result = x * factor;                                                                     \
		result += x;                                                                                          \
		return result;                                                                                        \
	}
FUNCTION(slow, 3)
FUNCTION(fast, 5)
DEFINE_STATIC_CALL(step, slow);
STATIC_CALL_TARGET(step, slow);
STATIC_CALL_TARGET(step, fast);

static _Atomic uint64_t longest, wrong;

static uint64_t nanoseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

FUNCTION(beat, 4)

static void *hot(void *through)
{
	uint64_t before = nanoseconds();

	for (int i = 1;; i = i % 1000 + 1) {
		int result = through ? static_call(step)(i) : beat(i);
		uint64_t now = nanoseconds();

		if (through ? result != 4 * i && result != 6 * i : result != 5 * i)
			wrong++;
		if (now - before > longest)
			longest = now - before;
		before = now;
	}
	return through;
}

/* A pool's thread, which waits for work. */
static void *asleep(void *none)
{
	for (;;)
		pause();
	return none;
}

static double calls(int n)
{
	uint64_t from = nanoseconds();

	for (int i = 0; i < n; i++)
		static_call(step)(i);
	return (double)(nanoseconds() - from) / n;
}

int main(int argc, char **argv)
{
	char line[100];
	pthread_t thread;
	int n;

	pthread_create(&thread, NULL, hot, argc > 1 && strcmp(argv[1], "through") == 0 ? argv : NULL);
	pthread_create(&thread, NULL, asleep, NULL);
	printf("%p %p\n", (void *)slow, (void *)fast);
	fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		if (sscanf(line, "calls %d", &n) == 1)
			printf("%.3f\n", calls(n));
		else
			printf("%llu %llu\n", (unsigned long long)__atomic_exchange_n(&longest, 0, __ATOMIC_SEQ_CST),
			       (unsigned long long)wrong);
		fflush(stdout);
	}
	return 0;
}
