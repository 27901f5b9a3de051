/* SPDX-License-Identifier: MIT
 *
 * XRay under the same measurements: a thread that runs through instrumented functions, and patching them all while
 * it does. Each line of input asks for samples; each line of output is their nanoseconds. A process of its own,
 * because XRay of clang 14 instruments programs and not shared objects.
 *
 *   calls N       one loop of N calls: sleds off, sleds on with a handler that does nothing
 *   patch N 0|1   N times all functions patched and unpatched; 1: while a thread runs, which is verified
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* xray/xray_interface.h is C++; these are its C functions. */
enum { SUCCESS = 1 };
int __xray_set_handler(void (*handler)(int32_t function, int type));
void __xray_init(void);
int __xray_patch(void);
int __xray_unpatch(void);

extern void (*const functions[])(void);
extern const int count;

static volatile uint64_t passes;
static volatile int running, parked;
/* Held while the thread must sleep: the sample of somebody else is being taken. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void handler(int32_t id, int type)
{
	(void)id;
	(void)type;
}

static uint64_t nanoseconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void pin(pthread_t thread, int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(thread, sizeof set, &set);
}

static void *pass(void *argument)
{
	(void)argument;
	for (int i = 0;;) {
		if (!running) {
			parked = 1;
			pthread_mutex_lock(&gate);
			parked = 0;
			pthread_mutex_unlock(&gate);
		}
		functions[i]();
		if (++i == count)
			i = 0;
		passes++;
	}
	return 0;
}

/* As bench_moving() of driver.c. */
static int moving(void)
{
	uint64_t end = nanoseconds() + 100000000, seen = passes;
	while (passes - seen < 3)
		if (nanoseconds() > end)
			return 0;
	return 1;
}

static double timed(int (*change)(void))
{
	uint64_t from = nanoseconds();
	if (change() != SUCCESS)
		exit(3);
	return (double)(nanoseconds() - from);
}

static double loop(int times)
{
	uint64_t from = nanoseconds();
	for (int i = 0; i < times; i++)
		functions[0]();
	return (double)(nanoseconds() - from) / times;
}

int main(int argc, char **argv)
{
	pthread_t hot = 0;
	int cpu = argc > 1 ? atoi(argv[1]) : 0, n, thread;
	char line[100];
	pin(pthread_self(), 0);
	__xray_init();
	__xray_set_handler(handler);
	while (fgets(line, sizeof line, stdin)) {
		if (sscanf(line, "calls %d", &n) == 1) {
			double off = loop(n);
			__xray_patch();
			double on = loop(n);
			__xray_unpatch();
			printf("%.3f %.3f\n", off, on);
		} else if (sscanf(line, "patch %d %d", &n, &thread) == 2) {
			if (thread) {
				running = 1;
				if (!hot) {
					pthread_create(&hot, 0, pass, 0);
					pin(hot, cpu);
				} else {
					pthread_mutex_unlock(&gate);
				}
			}
			for (int i = 0; i < n; i++)
				for (int on = 1; on >= 0; on--) {
					if (thread && !moving())
						return 2;
					printf("%.0f ", timed(on ? __xray_patch : __xray_unpatch));
				}
			printf("\n");
			if (thread) {
				pthread_mutex_lock(&gate);
				running = 0;
				while (!parked)
					sched_yield();
			}
		}
		fflush(stdout);
	}
	return 0;
}
