/*
 * A program to be patched while it runs: threads that pass call, tail, conditional and cold sites and branches as fast
 * as they can and check every result. Each key has targets whose results tell them apart; a result that
 * is none of them is counted as wrong.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crash.h"
#include "static_call.h"
#include "static_key.h"

#define NOINLINE __attribute__((noinline))

/* work: an integer key with three targets and return 0. Each target adds a number of its own. */
static NOINLINE long work_a(long x) { return x + 1; }
static NOINLINE long work_b(long x) { return x + 2; }
static NOINLINE long work_c(long x) { return x + 3; }
DEFINE_STATIC_CALL(work, work_a);
STATIC_CALL_TARGET(work, work_b);
STATIC_CALL_TARGET(work, work_c);
STATIC_CALL_TARGET_RET0(work);

/* hook: a void key that may be empty; its targets mark what they were given. */
struct mark { long value; };
static NOINLINE void hook_one(struct mark *m) { m->value += 10; }
static NOINLINE void hook_two(struct mark *m) { m->value += 20; }
DEFINE_STATIC_CALL_NULL(hook, hook_one);
STATIC_CALL_TARGET(hook, hook_one);
STATIC_CALL_TARGET(hook, hook_two);

/* filter: returns 0 until somebody wants more. */
static NOINLINE int filter_odd(int x) { return 2 + (x & 1); }
static NOINLINE int filter_all(int x) { (void)x; return 7; }
DEFINE_STATIC_CALL_RET0(filter, filter_odd);
STATIC_CALL_TARGET(filter, filter_odd);
STATIC_CALL_TARGET(filter, filter_all);

/* gate: a static key. What each branch computes tells which way it went. */
DEFINE_STATIC_KEY_FALSE(gate);
static NOINLINE long gate_if(long x)
{
	if (static_branch_unlikely(&gate))
		return 5 * x + 2;
	return 3 * x + 1;
}
static NOINLINE long gate_unless(long x)
{
	if (static_branch_likely(&gate))
		return 5 * x + 2;
	return 3 * x + 1;
}

static NOINLINE long tail_work(long x) { return static_call(work)(x); }
static NOINLINE void tail_hook(struct mark *m) { static_call_cond(hook)(m); }
static NOINLINE int tail_filter(int x) { return static_call(filter)(x); }
__attribute__((cold, noinline)) static int cold_filter(int x) { return static_call(filter)(x) + 0 * x; }

/*
 * Conditional tail calls, as clang emits them: the condition is whether x is negative. This one crosses a cache line, so
 * that `store` leaves it on its trampoline.
 */
__attribute__((naked, noinline)) static long jcc_work(long x __attribute__((unused)))
{
	__asm__("jmp 1f\n\t.p2align 6\n\t.skip 58, 0x90\n1:\t"
		"test %rdi, %rdi\n\t"
		"js __SCT__work\n\t"
		"lea 100(%rdi), %rax\n\t"
		"ret");
}

/* What a call turned out to be, by its result; the last of each row is for a result that no target gives. */
enum {
	WORK_A, WORK_B, WORK_C, WORK_ZERO,
	HOOK_NULL, HOOK_ONE, HOOK_TWO,
	FILTER_ZERO, FILTER_ODD, FILTER_ALL,
	GATE_OFF, GATE_ON,
	WRONG, OUTCOMES
};

static int work_outcome(long x, long got)
{
	return got == x + 1 ? WORK_A : got == x + 2 ? WORK_B : got == x + 3 ? WORK_C : got == 0 ? WORK_ZERO : WRONG;
}
static int hook_outcome(long got)
{
	return got == 0 ? HOOK_NULL : got == 10 ? HOOK_ONE : got == 20 ? HOOK_TWO : WRONG;
}
static int filter_outcome(int x, int got)
{
	return got == 0 ? FILTER_ZERO : got == 2 + (x & 1) ? FILTER_ODD : got == 7 ? FILTER_ALL : WRONG;
}

static int gate_outcome(long x, long got)
{
	return got == 3 * x + 1 ? GATE_OFF : got == 5 * x + 2 ? GATE_ON : WRONG;
}

struct slot {
	/* Written by its thread alone. */
	_Atomic uint64_t passes, outcomes[OUTCOMES];
} __attribute__((aligned(128)));

enum { MOST = 64, SITES_PASSED = 10 };
static struct slot slots[MOST];
static pthread_t threads[MOST];
static _Atomic int stop;
static int running;

static void count(struct slot *s, int outcome)
{
	uint64_t n = atomic_load_explicit(&s->outcomes[outcome], memory_order_relaxed);
	atomic_store_explicit(&s->outcomes[outcome], n + 1, memory_order_relaxed);
}

/* Passes ten sites (a negative x: the conditional one too). */
static void once(struct slot *s, long x)
{
	struct mark m = {0};
	long r;

	count(s, work_outcome(x, static_call(work)(x)));
	count(s, work_outcome(x, tail_work(x)));
	r = jcc_work(x);
	count(s, x < 0 ? work_outcome(x, r) : r == x + 100 ? WORK_A : WRONG);
	static_call_cond(hook)(&m);
	count(s, hook_outcome(m.value));
	m.value = 0;
	tail_hook(&m);
	count(s, hook_outcome(m.value));
	count(s, filter_outcome((int)x, static_call(filter)((int)x)));
	count(s, filter_outcome((int)x, tail_filter((int)x)));
	count(s, filter_outcome((int)x, cold_filter((int)x)));
	count(s, gate_outcome(x, gate_if(x)));
	count(s, gate_outcome(x, gate_unless(x)));
	atomic_store_explicit(&s->passes, s->passes + 1, memory_order_relaxed);
}

static void *run(void *arg)
{
	struct slot *s = arg;
	long x = 5;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		once(s, x);
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

/* Since the library was loaded. */
uint64_t soak_passes(void)
{
	uint64_t sum = 0;
	for (int i = 0; i < MOST; i++)
		sum += atomic_load(&slots[i].passes);
	return sum;
}

/* Sums over our threads and the guests below, OUTCOMES of them. */
static struct slot guests;
void soak_outcomes(uint64_t *sums)
{
	for (int o = 0; o < OUTCOMES; o++) {
		sums[o] = atomic_load(&guests.outcomes[o]);
		for (int i = 0; i < MOST; i++)
			sums[o] += atomic_load(&slots[i].outcomes[o]);
	}
}

/* For threads that are not ours: a timer of JavaScript, a worker, libuv's pool. Returns how many sites it passed. */
long soak_many(long n)
{
	struct slot mine;

	memset(&mine, 0, sizeof mine);
	/* From 16 on: at -1 to -3 a target's result would be 0. */
	for (long i = 16; i < 16 + n; i++)
		once(&mine, i & 1 ? i : -i);
	for (int o = 0; o < OUTCOMES; o++)
		atomic_fetch_add(&guests.outcomes[o], mine.outcomes[o]);
	return SITES_PASSED * n;
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

/*
 * Storms: what a process may do meanwhile, one kind at a time, on threads of their own. Each counts its gusts.
 */
enum { THREADS = 1, SIGNALS, FORKS, STACKS, LIBRARIES };
static pthread_t storm;
static _Atomic int calm;
static _Atomic long gusts, guest_passes, failed;
static char *library;

static void guest(long n)
{
	soak_many(n);
	atomic_fetch_add(&guest_passes, n);
}

static void on_signal(int number)
{
	(void)number;
	guest(1);
	gusts++;
}
static void handle_signals(int flags)
{
	struct sigaction action;
	memset(&action, 0, sizeof action);
	action.sa_handler = on_signal;
	action.sa_flags = SA_RESTART | flags;
	sigaction(SIGUSR2, &action, 0);
}
static void rest(long microseconds)
{
	struct timespec t = {0, 1000 * microseconds};
	nanosleep(&t, 0);
}

static void *short_life(void *unused)
{
	guest(20);
	return unused;
}
static void *on_small_stack(void *unused)
{
	/* Above AT_MINSIGSTKSZ of any CPU yet, and room for the handler of a signal on top of ours. */
	static __thread char room[64 << 10];
	stack_t small = {.ss_sp = room, .ss_size = sizeof room}, none = {.ss_flags = SS_DISABLE};
	sigaltstack(&small, 0);
	for (int i = 0; i < 20; i++) {
		guest(20);
		raise(SIGUSR2);
	}
	sigaltstack(&none, 0);
	return unused;
}
static void joined(void *(*body)(void *))
{
	pthread_t t;
	if (pthread_create(&t, 0, body, 0))
		failed++;
	else
		pthread_join(t, 0);
}

/*
 * A child of fork passes the sites, which must be right there too, and every second one becomes another program; a
 * child of vfork, which borrows our memory, does so at once.
 */
static void fork_one(long n)
{
	int status;
	pid_t child = n % 3 == 2 ? vfork() : fork();
	if (child == 0 && n % 3 == 2) {
		execl("/bin/true", "true", (char *)0);
		_exit(2);
	}
	if (child == 0) {
		uint64_t before = guests.outcomes[WRONG];
		soak_many(50);
		if (guests.outcomes[WRONG] != before)
			_exit(1);
		if (n & 1)
			execl("/bin/true", "true", (char *)0);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
		failed++;
}
static void load_one(void)
{
	void *handle = dlopen(library, RTLD_NOW);
	long (*call)(long) = handle ? (long (*)(long))dlsym(handle, "far_call") : 0;
	if (!call || call(5) != 106)
		failed++;
	if (handle)
		dlclose(handle);
}

static void *blow(void *kind)
{
	while (!calm) {
		switch ((intptr_t)kind) {
		case THREADS:
			joined(short_life);
			break;
		case SIGNALS:
			for (int i = 0; i < running; i++)
				pthread_kill(threads[i], SIGUSR2);
			rest(1000);
			continue;
		case FORKS:
			fork_one(gusts);
			rest(2000);
			break;
		case STACKS:
			joined(on_small_stack);
			continue;
		case LIBRARIES:
			load_one();
			rest(1000);
			break;
		}
		gusts++;
	}
	return 0;
}
/* `path` of the library that LIBRARIES loads and unloads. Threads must be running, and stop after the storm. */
int storm_start(int kind, const char *path)
{
	calm = 0;
	gusts = 0;
	/* The caller's string is gone when it has returned. */
	free(library);
	library = path ? strdup(path) : 0;
	handle_signals(kind == STACKS ? SA_ONSTACK : 0);
	return kind ? pthread_create(&storm, 0, blow, (void *)(intptr_t)kind) : 0;
}
/* Number of gusts, or -1 if one went wrong. */
long storm_stop(int kind)
{
	calm = 1;
	if (kind)
		pthread_join(storm, 0);
	return failed ? -1 : gusts;
}
/* Passes of threads that were not ours to start, since the library was loaded. */
long storm_passes(void) { return guest_passes; }
