/*
 * A program to be patched while it runs: threads that pass call, tail, conditional and cold sites as fast as they
 * can and check every result. Each key has targets whose results tell them apart; a result that
 * is none of them is counted as wrong.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "static_call.h"

#define NOINLINE __attribute__((noinline))

/* work: an integer key with three targets and return 0. Each target adds a number of its own. */
static NOINLINE long work_a(long x) { return x + 1; }
static NOINLINE long work_b(long x) { return x + 2; }
static NOINLINE long work_c(long x) { return x + 3; }
DEFINE_STATIC_CALL(work, work_a);
STATIC_CALL_TARGET(work, work_b);
STATIC_CALL_TARGET(work, work_c);

/* hook: a void key that may be empty; its targets mark what they were given. */
struct mark { long value; };
static NOINLINE void hook_one(struct mark *m) { m->value += 10; }
static NOINLINE void hook_two(struct mark *m) { m->value += 20; }
DEFINE_STATIC_CALL_NULL(hook, hook_one);
STATIC_CALL_TARGET(hook, hook_one);
STATIC_CALL_TARGET(hook, hook_two);

/* filter: returns 0 until somebody wants more. */
static NOINLINE int filter_odd(int x) { return x & 1; }
static NOINLINE int filter_all(int x) { (void)x; return 7; }
DEFINE_STATIC_CALL_RET0(filter, filter_odd);
STATIC_CALL_TARGET(filter, filter_odd);
STATIC_CALL_TARGET(filter, filter_all);

static NOINLINE long tail_work(long x) { return static_call(work)(x); }
static NOINLINE void tail_hook(struct mark *m) { static_call_cond(hook)(m); }
static NOINLINE int tail_filter(int x) { return static_call(filter)(x); }

/* Conditional tail calls, as clang emits them: the condition is whether x is negative. */
__attribute__((naked, noinline)) static long jcc_work(long x)
{
	__asm__("test %rdi, %rdi\n\t"
		"js __SCT__work\n\t"
		"lea 100(%rdi), %rax\n\t"
		"ret");
}

static const long work_results[] = {1, 2, 3, 0};
static int ok_work(long x, long got)
{
	/* return 0 stands for a fourth target */
	return got == x + 1 || got == x + 2 || got == x + 3 || got == 0;
}

struct slot {
	_Atomic uint64_t passes, wrong, last;
} __attribute__((aligned(64)));

enum { MOST = 64 };
static struct slot slots[MOST];
static pthread_t threads[MOST];
static _Atomic int stop;
static int running;

static uint64_t once(long x)
{
	uint64_t wrong = 0;
	struct mark m = {0};
	long r;

	wrong += !ok_work(x, static_call(work)(x));
	r = tail_work(x);
	wrong += !ok_work(x, r);
	r = jcc_work(x);
	wrong += x < 0 ? !ok_work(x, r) : r != x + 100;
	static_call_cond(hook)(&m);
	wrong += m.value != 0 && m.value != 10 && m.value != 20;
	m.value = 0;
	tail_hook(&m);
	wrong += m.value != 0 && m.value != 10 && m.value != 20;
	int f = static_call(filter)((int)x);
	wrong += f != 0 && f != (x & 1) && f != 7;
	f = tail_filter((int)x);
	wrong += f != 0 && f != (x & 1) && f != 7;
	return wrong;
}

static void *run(void *arg)
{
	struct slot *s = arg;
	long x = 5;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uint64_t wrong = once(x);

		atomic_store_explicit(&s->passes, s->passes + 1, memory_order_relaxed);
		if (wrong)
			atomic_fetch_add(&s->wrong, wrong);
		x = x > 0 ? -x : -x + 2;
		if (x > 100000)
			x = 5;
	}
	return 0;
}

int soak_start(int count)
{
	atomic_store(&stop, 0);
	for (running = 0; running < count && running < MOST; running++) {
		memset(&slots[running], 0, sizeof slots[running]);
		if (pthread_create(&threads[running], 0, run, &slots[running]))
			break;
	}
	return running;
}

void soak_stop(void)
{
	atomic_store(&stop, 1);
	for (int i = 0; i < running; i++)
		pthread_join(threads[i], 0);
}

uint64_t soak_passes(void)
{
	uint64_t sum = 0;
	for (int i = 0; i < running; i++)
		sum += atomic_load(&slots[i].passes);
	return sum;
}

uint64_t soak_wrong(void)
{
	uint64_t sum = 0;
	for (int i = 0; i < running; i++)
		sum += atomic_load(&slots[i].wrong);
	return sum;
}

/* For threads that are not ours: a timer of JavaScript, a worker, libuv's pool. */
uint64_t soak_once(long x) { return once(x); }
long soak_many(long n)
{
	long wrong = 0;
	for (long i = 0; i < n; i++)
		wrong += (long)once(i & 1 ? i : -i);
	return wrong;
}
long soak_work(long x) { return static_call(work)(x); }
int soak_filter(int x) { return static_call(filter)(x); }
long soak_hook(void)
{
	struct mark m = {0};
	static_call_cond(hook)(&m);
	return m.value;
}
long soak_query(void) { return (long)static_call_query(work); }
const long *soak_work_results(void) { return work_results; }
