/* SPDX-License-Identifier: MIT
 *
 * What scripts/since.mjs measures both revisions on: a key of SITES call sites, a key that loops
 * call, and a thread that runs elsewhere in the program. The sites have the table that objtool
 * would write, so nothing is decoded to find them.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <static_call.h>
#include <stdint.h>
#include <time.h>

#define TEXT(x) #x
#define NUMBER(x) TEXT(x)

void many_a(void);
void many_b(void);
DEFINE_STATIC_CALL(many, many_a);
STATIC_CALL_TARGET(many, many_b);

void called_a(void);
DEFINE_STATIC_CALL_NULL(called, called_a);
STATIC_CALL_TARGET(called, called_a);

/* Three of the four bytes of a displacement differ between the two targets of `many`. */
__asm__(".text\n"
	".balign 4096\n"
	".rept " NUMBER(SITES) "\n"
	"9: call __SCT__many\n"
	"ret\n"
	".skip 26, 0xcc\n"
	".pushsection .static_call_sites, \"aw\"\n"
	".long 9b - ., __SCK__many - .\n"
	".popsection\n"
	".endr\n"
	".globl many_a, many_b, called_a\n"
	".type many_a, @function\n"
	".type many_b, @function\n"
	".type called_a, @function\n"
	"many_b: ret\n"
	".size many_b, . - many_b\n"
	".skip 0x1010f, 0xcc\n"
	"many_a: ret\n"
	".size many_a, . - many_a\n"
	".balign 64\n"
	"called_a: ret\n"
	".size called_a, . - called_a\n");

/* Each loop begins at the same place of its page: that outweighs what it calls. */
#define LOOP(name, call)                                                                           \
	void name(uint64_t times);                                                                 \
	__asm__(".balign 4096\n"                                                                   \
		".type " #name ", @function\n" #name ":\n"                                         \
		".balign 64\n"                                                                     \
		"1: " call "\n"                                                                    \
		"dec %rdi\n"                                                                       \
		"jnz 1b\n"                                                                         \
		"ret\n"                                                                            \
		".size " #name ", . - " #name "\n")
LOOP(loop_direct, "call called_a");
LOOP(loop_site, "call __SCT__called\n"
		".pushsection .static_call_sites, \"aw\"\n"
		".long 1b - ., __SCK__called - .\n"
		".popsection");

/* Nanoseconds for each of so many calls, through the site or direct. */
double since_call(int site, int64_t times)
{
	struct timespec from, to;
	clock_gettime(CLOCK_MONOTONIC, &from);
	(site ? loop_site : loop_direct)((uint64_t)times);
	clock_gettime(CLOCK_MONOTONIC, &to);
	return ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) /
	       (double)times;
}

static volatile int wanted;
static volatile uint64_t passes;
static pthread_t thread;

/* The caller stays on the first CPU and the thread off it, where there are two. */
static void pin(int first)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if ((cpu == 0) == first)
			CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
}

static void *spin(void *none)
{
	pin(0);
	while (wanted)
		passes++;
	return none;
}

int since_run(void)
{
	wanted = 1;
	pin(1);
	return pthread_create(&thread, 0, spin, 0);
}

void since_park(void)
{
	wanted = 0;
	pthread_join(thread, 0);
}

/* Returns when the thread has just moved: one that is not on a CPU needs no interrupt. */
void since_moved(void)
{
	uint64_t seen = passes;
	while (passes == seen)
		;
}
