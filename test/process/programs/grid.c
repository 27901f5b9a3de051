/*
 * As many sites as are asked for, of every form: EACH repetitions of six, the repetitions a given distance apart. The first
 * of the six crosses a cache line. What a call comes back with is counted: a target returns its number, so nothing but a
 * listed count can ever grow.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "static_call.h"

#ifndef EACH
#define EACH 34
#endif
#ifndef STRIDE
#define STRIDE 10 /* a power of two */
#endif
#define STRING_(x) #x
#define STRING(x) STRING_(x)

/* 0: return 0; 1 to 3: the targets of work. */
static long work_one(void) { return 1; }
static long work_two(void) { return 2; }
static long work_three(void) { return 3; }
DEFINE_STATIC_CALL(work, work_one);
STATIC_CALL_TARGET(work, work_two);
STATIC_CALL_TARGET(work, work_three);
STATIC_CALL_TARGET_RET0(work);

/* 4: empty; 5 and 6: the targets of hook, which leave their number where a value would be. */
__attribute__((naked)) static void hook_five(void) { __asm__("mov $5, %eax\n\tret"); }
__attribute__((naked)) static void hook_six(void) { __asm__("mov $6, %eax\n\tret"); }
DEFINE_STATIC_CALL_NULL(hook, hook_five);
STATIC_CALL_TARGET(hook, hook_five);
STATIC_CALL_TARGET(hook, hook_six);

enum { OUTCOMES = 7, MOST = 16, FORMS = 6 };

#define NEXT ".p2align 6, 0x90\n\t"
#define COUNT "incq (%rbx,%rax,8)\n\t"
__asm__(".text\n\t.p2align 6\n\t.type grid_pass, @function\n"
	"grid_pass:\n\t"
	"push %rbx\n\tmov %rdi, %rbx\n\t"
	".rept " STRING(EACH) "\n\t"
	/* a call, one of six bytes, a tail call, a conditional one (ZF is set), and a hook called and tail called */
	".p2align " STRING(STRIDE) ", 0x90\n\t.skip 61, 0x90\n\tcall __SCT__work\n\t" COUNT
	NEXT ".byte 0x67\n\tcall __SCT__work\n\t" COUNT
	NEXT "call 1f\n\t" COUNT "jmp 2f\n1:\tjmp __SCT__work\n2:\t"
	NEXT "call 1f\n\t" COUNT "jmp 2f\n1:\txor %eax, %eax\n\tje __SCT__work\n\tmov $-1, %eax\n\tret\n2:\t"
	NEXT "mov $4, %eax\n\tcall __SCT__hook\n\t" COUNT
	NEXT "mov $4, %eax\n\tcall 1f\n\t" COUNT "jmp 2f\n1:\tjmp __SCT__hook\n2:\n\t"
	".endr\n\t"
	"pop %rbx\n\tret\n\t"
	".size grid_pass, . - grid_pass");
void grid_pass(uint64_t *counts);

static struct slot {
	uint64_t counts[OUTCOMES];
	_Atomic uint64_t passes;
} __attribute__((aligned(128))) slots[MOST];
static pthread_t threads[MOST];
static _Atomic int stop;
static int running;

static void *run(void *arg)
{
	struct slot *s = arg;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		grid_pass(s->counts);
		atomic_store_explicit(&s->passes, s->passes + 1, memory_order_release);
	}
	return 0;
}
int grid_start(int count)
{
	atomic_store(&stop, 0);
	for (running = 0; running < count && running < MOST; running++)
		if (pthread_create(&threads[running], 0, run, &slots[running]))
			break;
	return running;
}
void grid_stop(void)
{
	atomic_store(&stop, 1);
	for (int i = 0; i < running; i++)
		pthread_join(threads[i], 0);
}
uint64_t grid_passes(void)
{
	uint64_t sum = 0;
	for (int i = 0; i < MOST; i++)
		sum += atomic_load(&slots[i].passes);
	return sum;
}
/* OUTCOMES of them; exact once the threads have stopped. */
void grid_counts(uint64_t *sums)
{
	for (int o = 0; o < OUTCOMES; o++) {
		sums[o] = 0;
		for (int i = 0; i < MOST; i++)
			sums[o] += slots[i].counts[o];
	}
}
/* Which outcomes one pass of the calling thread meets, as bits: what the sites do now. */
int grid_now(void)
{
	uint64_t counts[OUTCOMES] = {0};
	int seen = 0;
	grid_pass(counts);
	for (int o = 0; o < OUTCOMES; o++)
		seen |= (counts[o] != 0) << o;
	return seen;
}
long grid_query(void) { return (long)static_call_query(work); }
int grid_sites(void) { return FORMS * EACH; }
