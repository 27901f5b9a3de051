/*
 * A site on a cache line's end and two targets, laid out so that a call that was fetched half old and half new lands
 * on code that says so: the targets' displacements differ in their three lower bytes, and at each of the eight
 * mixtures of these there is a landing that returns its number. Nothing a torn call can do is a crash.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#include "static_call.h"

#ifndef OFFSET
#define OFFSET 61 /* of the site in its cache line */
#endif
#define STRING_(x) #x
#define STRING(x) STRING_(x)

long torn_a(void);
long torn_b(void);
DEFINE_STATIC_CALL(torn, torn_a);
STATIC_CALL_TARGET(torn, torn_b);

#define LANDING(displacement, number) \
	".org end + " displacement ", 0xcc\n\tmov $" number ", %eax\n\tret\n\t"
__asm__(".pushsection .text.torn, \"ax\", @progbits\n\t"
	".p2align 6\n\t"
	".globl torn_run\n\t.hidden torn_run\n\t.type torn_run, @function\n"
	"torn_run:\n\t" /* (counts, stop) */
	"push %rbx\n\tpush %r12\n\tpush %r13\n\t"
	"mov %rdi, %rbx\n\tmov %rsi, %r12\n\t"
	"jmp site\n\t"
	".p2align 6\n\t"
	".skip " STRING(OFFSET) ", 0x90\n"
	"site:\n\t"
	"call __SCT__torn\n"
	"end:\n\t"
	"incq (%rbx,%rax,8)\n\t"
	"cmpl $0, (%r12)\n\t"
	"je site\n\t"
	"pop %r13\n\tpop %r12\n\tpop %rbx\n\tret\n\t"
	".size torn_run, . - torn_run\n\t"
	".globl torn_a, torn_b\n\t.hidden torn_a, torn_b\n\t"
	".type torn_a, @function\n\t.type torn_b, @function\n\t"
	".org end + 0x011040, 0xcc\ntorn_a:\n\t"
	LANDING("0x011040", "0")
	LANDING("0x011080", "1")
	LANDING("0x012040", "2")
	LANDING("0x012080", "3")
	LANDING("0x021040", "4")
	LANDING("0x021080", "5")
	LANDING("0x022040", "6")
	".org end + 0x022080, 0xcc\ntorn_b:\n\t"
	LANDING("0x022080", "7")
	".popsection");

void torn_run(_Atomic uint64_t *counts, _Atomic int *stop);

static _Atomic uint64_t counts[8];
static _Atomic int stop;
static pthread_t thread;

/* Of the calling thread; 0 when it is done. */
int torn_pin(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof set, &set);
}

static void *run(void *cpu)
{
	torn_pin((int)(intptr_t)cpu);
	torn_run(counts, &stop);
	return 0;
}
int torn_start(int cpu)
{
	atomic_store(&stop, 0);
	return pthread_create(&thread, 0, run, (void *)(intptr_t)cpu);
}
void torn_stop(void)
{
	atomic_store(&stop, 1);
	pthread_join(thread, 0);
}
/* Eight of them: calls that reached each landing; the first and the last are the targets. */
void torn_counts(uint64_t *into)
{
	for (int i = 0; i < 8; i++)
		into[i] = atomic_load_explicit(&counts[i], memory_order_relaxed);
}
