/* SPDX-License-Identifier: MIT
 *
 * A C program that is retargeted while it runs: by another process, or by itself where it links a
 * runtime. Its sites are in another file. One thread runs elsewhere in the program, and one sleeps,
 * which a tool borrows. Each line of input asks for something; each has a line of output.
 *
 *   run, park          the thread runs, or sleeps
 *   three KEY N        N times: nanoseconds of three bare membarriers, of three again, of an update, of
 *                      three with the bare writes between them that the update made
 *   two KEY N          the same of two, and an update of a key that was empty
 *   plain KEY N        N times: nanoseconds of an update
 *
 * "ready PASSES CODE WORD" is the first line: where the thread counts its passes; where the bare
 * steps of an update are, which the sleeping thread may be made to run; and a word that it sets
 * then. Nothing that a thread does while it is not on a CPU tells anything, so each sample is taken
 * only if the counter has just moved.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <static_call.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void many_a(void);
void many_b(void);
extern const unsigned char many_sites[];
DECLARE_STATIC_CALL(one, many_a);
DECLARE_STATIC_CALL(many, many_a);

static volatile uint64_t passes;
static volatile int running, parked;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static double nanoseconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The program that started this one may be held to one CPU. */
static void may_run_on(int first, int last)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	for (int cpu = first; cpu <= last; cpu++)
		CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
}

static void *pass(void *cpu)
{
	may_run_on((int)(intptr_t)cpu, (int)(intptr_t)cpu);
	for (;;) {
		if (!running) {
			parked = 1;
			pthread_mutex_lock(&gate);
			parked = 0;
			pthread_mutex_unlock(&gate);
		}
		passes++;
	}
	return 0;
}

static void *asleep(void *none)
{
	for (;;)
		pause();
	return none;
}

static void park(void)
{
	pthread_mutex_lock(&gate);
	running = 0;
	while (!parked)
		sched_yield();
}

/* A thread that is kept from its CPU for so long ends the program, and there are no samples. */
static void moving(void)
{
	uint64_t seen = passes;
	double end = nanoseconds() + 2e9;
	while (passes - seen < 3)
		if (nanoseconds() > end)
			exit(2);
}

static double barriers(int times)
{
	moving();
	double from = nanoseconds();
	for (int i = 0; i < times; i++)
		if (syscall(SYS_membarrier, 32, 0, 0) != 0)
			exit(3);
	return nanoseconds() - from;
}

/* The opcodes, or the displacements, of the site of `one` and of its trampoline: as they stand. */
static int memory;
static void bare_writes(int first, int size)
{
	const unsigned char *const at[] = {many_sites, (const unsigned char *)STATIC_CALL_TRAMP(one)};
	for (int i = 0; i < 2; i++)
		if (pwrite(memory, at[i] + first, size, (off_t)(uintptr_t)(at[i] + first)) != size)
			exit(5);
}

/* What an update asks of the kernel to write text, in its order, and nothing else: the floor. */
static void bare_steps(int syncs)
{
	for (int i = 0; i < syncs; i++) {
		int rest = i == syncs - 2;
		bare_writes(rest, rest ? 4 : 1);
		if (syscall(SYS_membarrier, 32, 0, 0) != 0)
			exit(3);
	}
}

static double written(int syncs)
{
	moving();
	double from = nanoseconds();
	bare_steps(syncs);
	return nanoseconds() - from;
}

/* Where the thread that sleeps is sent, from wherever it is. It sleeps on here. */
static volatile uint64_t lent;
static void borrowed(void)
{
	bare_steps(3);
	lent = 1;
	for (;;)
		pause();
}

static int update(const char *key, void (*to)(void))
{
	return strcmp(key, "one") == 0 ? static_call_update(one, to) : static_call_update(many, to);
}

static double updated(const char *key)
{
	static int next;
	moving();
	double from = nanoseconds();
	int failed = update(key, next++ % 2 ? many_a : many_b);
	double ns = nanoseconds() - from;
	if (failed != 0) {
		fprintf(stderr, "an update is refused: %s\n", strerror(-failed));
		exit(4);
	}
	return ns;
}

int main(int argc, char **argv)
{
	int cpu = argc > 1 ? atoi(argv[1]) : 0, n;
	memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	char line[100], how[16], key[16];
	pthread_t thread;
	may_run_on(0, cpu);
	pthread_mutex_lock(&gate);
	pthread_create(&thread, 0, pass, (void *)(intptr_t)cpu);
	pthread_create(&thread, 0, asleep, 0);
	while (!parked)
		sched_yield();
	printf("ready %llu %llu %llu\n", (unsigned long long)(uintptr_t)&passes,
	       (unsigned long long)(uintptr_t)borrowed, (unsigned long long)(uintptr_t)&lent);
	fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		if (strcmp(line, "run\n") == 0) {
			running = 1;
			pthread_mutex_unlock(&gate);
			moving();
		} else if (strcmp(line, "park\n") == 0) {
			park();
		} else if (sscanf(line, "%15s %15s %d", how, key, &n) == 3) {
			int syncs = how[0] == 'p' ? 0 : how[1] == 'w' ? 2 : 3;
			for (int i = 0; i < n; i++) {
				if (syncs == 2 && update(key, NULL) != 0)
					exit(4);
				if (syncs > 0) {
					printf("%.0f ", barriers(syncs));
					printf("%.0f ", barriers(syncs));
				}
				printf("%.0f ", updated(key));
				/* Behind the update, so that it is no slower because it comes first. */
				if (syncs > 0)
					printf("%.0f ", written(syncs));
			}
		}
		printf("\n");
		fflush(stdout);
	}
	return 0;
}
