/* SPDX-License-Identifier: MIT
 *
 * The native half of `static-call bench`: threads that run through call sites, clocks, and the bare operations
 * that an update is held against. Everything is timed in here, so that no sample pays for the way from JavaScript.
 *
 * A figure for "a thread is running" means nothing unless the thread is on a CPU at that very moment: one that
 * is not makes every synchronisation look fifty times cheaper. So a hot thread counts its passes, and
 * bench_moving() returns only when each counter has just moved.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define PAGE 4096
#define MOST 8

enum { RUN, PARK, END };

/* A line of its own each: a counter that shares one with another thread's would slow both. */
static struct hot {
	volatile uint64_t passes;
	volatile uint64_t longest;	/* TSC ticks between two passes, since it was last cleared */
	volatile int parked;
	pthread_t thread;
	pid_t tid;
	uint64_t seen;			/* the patcher's: passes when it last looked */
} __attribute__((aligned(128))) hot[MOST];

static int threads;
static volatile int wanted = PARK;
static unsigned char *first;
static uint64_t sites, stride;

static uint64_t nanoseconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* CPU `cpu`, or every one where that is negative, for the thread `tid`; 0 is the caller.
   Negative errno. */
int bench_pin(int tid, int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	for (int each = 0; each < CPU_SETSIZE; each++)
		if (cpu < 0 || each == cpu)
			CPU_SET(each, &set);
	return sched_setaffinity(tid, sizeof set, &set) == 0 ? 0 : -errno;
}

/* ---- Threads that run through sites --------------------------------------------------------------- */

static void park(struct hot *self)
{
	self->parked = 1;
	while (wanted == PARK)
		syscall(SYS_futex, &wanted, FUTEX_WAIT_PRIVATE, PARK, 0, 0, 0);
	self->parked = 0;
}

__attribute__((noinline)) static void elsewhere(void)
{
	__asm__ volatile("");
}

int64_t bench_elsewhere(void)
{
	return (int64_t)elsewhere;
}

/* Each pass calls the next of the little functions that hold one site each. */
static void *pass(void *argument)
{
	struct hot *self = argument;
	uint64_t next = 0, before = 0;
	self->tid = (pid_t)syscall(SYS_gettid);
	for (;;) {
		if (__builtin_expect(wanted != RUN, 0)) {
			if (wanted == END)
				return 0;
			park(self);
			next = before = 0;
			continue;
		}
		((void (*)(void))(first + next))();
		next += stride;
		if (next == sites * stride)
			next = 0;
		uint64_t now = __rdtsc();
		if (before && now - before > self->longest)
			self->longest = now - before;
		before = now;
		self->passes++;
	}
}

/* Threads are made parked, spread over the CPUs from `cpu` to `last`. Negative errno. */
int bench_start(int count, int cpu, int last)
{
	if (count > MOST)
		return -EINVAL;
	wanted = PARK;
	for (threads = 0; threads < count; threads++) {
		struct hot *self = &hot[threads];
		memset((void *)self, 0, sizeof *self);
		int failed = pthread_create(&self->thread, 0, pass, self);
		if (failed)
			return -failed;
		while (!self->parked)
			sched_yield();
		failed = bench_pin(self->tid, cpu + threads % (last - cpu + 1));
		if (failed)
			return failed;
	}
	return 0;
}

/* They run through `count` functions of one site, `apart` bytes from each other. */
void bench_run(int64_t at, int64_t count, int64_t apart)
{
	first = (unsigned char *)at;
	sites = (uint64_t)count;
	stride = (uint64_t)apart;
	wanted = RUN;
	syscall(SYS_futex, &wanted, FUTEX_WAKE_PRIVATE, MOST, 0, 0, 0);
}

void bench_park(void)
{
	wanted = PARK;
	for (int i = 0; i < threads; i++)
		while (!hot[i].parked)
			sched_yield();
}

void bench_end(void)
{
	bench_park();
	wanted = END;
	syscall(SYS_futex, &wanted, FUTEX_WAKE_PRIVATE, MOST, 0, 0, 0);
	for (int i = 0; i < threads; i++)
		pthread_join(hot[i].thread, 0);
	threads = 0;
}

/*
 * 1 as soon as every thread has made a pass since the last look and one of them has made one just now; 0 when
 * that does not happen within `patience` nanoseconds. Threads that share a CPU cannot all run at one instant.
 */
int bench_moving(int64_t patience)
{
	uint64_t end = nanoseconds() + (uint64_t)patience;
	for (;;) {
		int moved = 1;
		for (int i = 0; i < threads; i++)
			moved &= hot[i].passes != hot[i].seen;
		if (moved) {
			uint64_t before[MOST], until = nanoseconds() + 2000;
			for (int i = 0; i < threads; i++)
				before[i] = hot[i].passes;
			do {
				for (int i = 0; i < threads; i++) {
					if (hot[i].passes - before[i] < 2)
						continue;
					for (int k = 0; k < threads; k++)
						hot[k].seen = hot[k].passes;
					return 1;
				}
			} while (nanoseconds() < until);
		}
		if (nanoseconds() > end)
			return 0;
		_mm_pause();
	}
}

int64_t bench_passes(void)
{
	uint64_t sum = 0;
	for (int i = 0; i < threads; i++)
		sum += hot[i].passes;
	return (int64_t)sum;
}

/* The longest gap between two passes since the last call, in TSC ticks. */
int64_t bench_longest(void)
{
	uint64_t most = 0;
	for (int i = 0; i < threads; i++) {
		if (hot[i].longest > most)
			most = hot[i].longest;
		hot[i].longest = 0;
	}
	return (int64_t)most;
}

/* TSC ticks in a microsecond. */
double bench_ticks(void)
{
	uint64_t from = nanoseconds(), ticks = __rdtsc();
	while (nanoseconds() - from < 2000000)
		;
	ticks = __rdtsc() - ticks;
	return (double)ticks * 1000 / (double)(nanoseconds() - from);
}

/* ---- A call: the time of one loop ------------------------------------------------------------------ */

/* Nanoseconds for `iterations` of a loop. */
double bench_loop(int64_t loop, int64_t iterations)
{
	uint64_t from = nanoseconds();
	((void (*)(int64_t))loop)(iterations);
	return (double)(nanoseconds() - from);
}

/* ---- What an update is held against: nanoseconds of one sample --------------------------------------- */

static unsigned char *page;

static int prepare(void)
{
	if (page)
		return 0;
	page = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED) {
		page = 0;
		return -errno;
	}
	memset(page, 0xc3, PAGE);
	return mprotect(page, PAGE, PROT_READ | PROT_EXEC) == 0 ? 0 : -errno;
}

/* `times` membarrier(SYNC_CORE), which somebody has registered for. */
double bench_barrier(int times)
{
	uint64_t from = nanoseconds();
	for (int i = 0; i < times; i++)
		if (syscall(SYS_membarrier, 32, 0, 0) != 0)
			return -1;
	return (double)(nanoseconds() - from);
}

/*
 * `syncs` membarriers, and before each of them two bytes of text written through /proc/self/mem as
 * they stand: one of a site and one of its trampoline, without which no update of one site goes.
 * Negative where one is refused.
 */
double bench_written(int syncs)
{
	static int memory = -1;
	if (memory < 0)
		memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	if (memory < 0 || prepare() != 0)
		return -1;
	uint64_t from = nanoseconds();
	for (int i = 0; i < 2 * syncs; i++) {
		if (pwrite(memory, page + 64 * (i & 1), 1, (off_t)(uintptr_t)(page + 64 * (i & 1))) != 1)
			return -1;
		if ((i & 1) && syscall(SYS_membarrier, 32, 0, 0) != 0)
			return -1;
	}
	return (double)(nanoseconds() - from);
}

static struct {
	unsigned char *code, *writable;
	int64_t count, apart;
} returns;

/*
 * `count` functions that only return, `apart` bytes from each other and mapped twice. 0 where that
 * is refused.
 */
int64_t bench_returns(int64_t count, int64_t apart)
{
	size_t size = (size_t)(count * apart);
	int file = (int)syscall(SYS_memfd_create, "returns", 0);
	if (file < 0 || ftruncate(file, (off_t)size) != 0)
		return 0;
	void *writable = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	void *code = mmap(0, size, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
	close(file);
	if (writable == MAP_FAILED || code == MAP_FAILED)
		return 0;
	memset(writable, 0xc3, size);
	returns.writable = writable;
	returns.code = code;
	returns.count = count;
	returns.apart = apart;
	return (int64_t)code;
}

/* One byte stored at each of the first `count` of them, as it stands, and a membarrier. */
double bench_stores(int64_t count)
{
	if (count > returns.count)
		return -1;
	uint64_t from = nanoseconds();
	for (int64_t i = 0; i < count; i++)
		((volatile unsigned char *)returns.writable)[i * returns.apart] = 0xc3;
	if (syscall(SYS_membarrier, 32, 0, 0) != 0)
		return -1;
	return (double)(nanoseconds() - from);
}

/*
 * Has a sleeping thread of another process run code at an address, and waits until that has set a
 * word. Nothing of the thread is looked at, kept or put back: what no tool that borrows a thread
 * by ptrace can be faster than.
 */
double bench_borrow(int thread, int64_t code, int64_t word)
{
	uint64_t done = 0;
	int status;
	struct iovec here = {&done, sizeof done}, there = {(void *)word, sizeof done};
	struct user_regs_struct registers;
	struct iovec set = {&registers, sizeof registers};
	if (process_vm_writev(thread, &here, 1, &there, 1, 0) != sizeof done)
		return -errno;
	uint64_t from = nanoseconds();
	if (ptrace(PTRACE_SEIZE, thread, 0, 0) != 0)
		return -errno;
	ptrace(PTRACE_INTERRUPT, thread, 0, 0);
	while (waitpid(thread, &status, __WALL | WNOHANG) == 0)
		sched_yield();
	ptrace(PTRACE_GETREGSET, thread, NT_PRSTATUS, &set);
	registers.rip = (unsigned long long)code;
	registers.rsp = ((registers.rsp - 256) & ~15ull) - 8; /* as behind a call, below the red zone */
	registers.orig_rax = -1;
	ptrace(PTRACE_SETREGSET, thread, NT_PRSTATUS, &set);
	ptrace(PTRACE_DETACH, thread, 0, 0);
	while (process_vm_readv(thread, &here, 1, &there, 1, 0) == sizeof done && done == 0)
		sched_yield();
	return done == 0 ? -1 : (double)(nanoseconds() - from);
}

double bench_mprotect(void)
{
	if (prepare() != 0)
		return -1;
	uint64_t from = nanoseconds();
	if (mprotect(page, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
		return -1;
	page[100] ^= 1;
	if (mprotect(page, PAGE, PROT_READ | PROT_EXEC) != 0)
		return -1;
	return (double)(nanoseconds() - from);
}

/* A changed copy takes the page's place in one system call: what the Rust crate static-keys does for each site. */
double bench_swap(void)
{
	if (prepare() != 0)
		return -1;
	uint64_t from = nanoseconds();
	unsigned char *copy = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (copy == MAP_FAILED)
		return -1;
	memcpy(copy, page, PAGE);
	copy[100] ^= 1;
	if (mprotect(copy, PAGE, PROT_READ | PROT_EXEC) != 0 ||
	    mremap(copy, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, page) == MAP_FAILED)
		return -1;
	return (double)(nanoseconds() - from);
}

static volatile int stopped, released;

static void stop(int signal)
{
	(void)signal;
	__atomic_add_fetch(&stopped, 1, __ATOMIC_SEQ_CST);
	while (!released)
		_mm_pause();
	__atomic_sub_fetch(&stopped, 1, __ATOMIC_SEQ_CST);
}

/* Every hot thread is held in a signal handler while one store is made; no other thread of the process is. */
double bench_stop(void)
{
	struct sigaction action = {0};
	int number = SIGRTMIN + 5;
	action.sa_handler = stop;
	if (prepare() != 0 || sigaction(number, &action, 0) != 0)
		return -1;
	static unsigned char text[64];
	uint64_t from = nanoseconds();
	released = 0;
	for (int i = 0; i < threads; i++)
		if (syscall(SYS_tgkill, getpid(), hot[i].tid, number) != 0)
			return -1;
	while (stopped < threads)
		_mm_pause();
	((volatile unsigned char *)text)[0] ^= 1;
	released = 1;
	while (stopped > 0)
		_mm_pause();
	return (double)(nanoseconds() - from);
}

/* ---- A target that lies far from everything ------------------------------------------------------------ */

/* `add $1, %rax; ret`, 64 GiB up: no 32-bit displacement reaches it from a shared object. Negative errno. */
int64_t bench_far(void)
{
	static const unsigned char code[] = {0x48, 0x83, 0xc0, 0x01, 0xc3};
	unsigned char *at = mmap((void *)0x1000000000, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return -errno;
	memcpy(at, code, sizeof code);
	return mprotect(at, PAGE, PROT_READ | PROT_EXEC) == 0 ? (int64_t)at : -errno;
}

/* A system call that does nothing, `times` times: what a trap is held against. */
double bench_getpid(int times)
{
	uint64_t from = nanoseconds();
	for (int i = 0; i < times; i++)
		syscall(SYS_getpid);
	return (double)(nanoseconds() - from);
}

/* Calls one function `times` times. */
double bench_call(int64_t function, int times)
{
	uint64_t from = nanoseconds();
	for (int i = 0; i < times; i++)
		((void (*)(void))function)();
	return (double)(nanoseconds() - from);
}
