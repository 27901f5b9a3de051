/* One key with SITES sites, a thousand to a function, and a thread that passes all of them over and over. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "static_call.h"

#ifndef SITES
#define SITES 100000
#endif
#define STRING_(x) #x
#define STRING(x) STRING_(x)

/* Each counts itself in half of rax. */
__attribute__((naked)) static void many_one(void) { __asm__("inc %rax\n\tret"); }
__attribute__((naked)) static void many_two(void) { __asm__("lea (%rax,%rdx), %rax\n\tret"); }
DEFINE_STATIC_CALL(many, many_one);
STATIC_CALL_TARGET(many, many_two);

__asm__(".text\n\t.altmacro\n\t"
	".macro FUNCTION n\n\t"
	".p2align 4\n\t.type many_\\n, @function\n"
	"many_\\n:\n\t"
	".rept 1000\n\tcall __SCT__many\n\t.endr\n\t"
	"ret\n\t.size many_\\n, . - many_\\n\n\t"
	".endm\n\t"
	".set n, 0\n\t"
	".rept " STRING(SITES) " / 1000\n\t.set n, n + 1\n\tFUNCTION %n\n\t.endr\n\t"
	".macro PASS n\n\tcall many_\\n\n\t.endm\n\t"
	".p2align 4\n\t.globl many_pass\n\t.type many_pass, @function\n"
	"many_pass:\n\t"
	"xor %eax, %eax\n\tmov $1, %edx\n\tshl $32, %rdx\n\t"
	".set n, 0\n\t"
	".rept " STRING(SITES) " / 1000\n\t.set n, n + 1\n\tPASS %n\n\t.endr\n\t"
	"ret\n\t.size many_pass, . - many_pass\n\t.noaltmacro");
uint64_t many_pass(void);

static pthread_t thread;
static _Atomic int stop;
static _Atomic long passes, wrong;

static void *run(void *unused)
{
	while (!stop) {
		uint64_t got = many_pass();
		wrong += (got & 0xffffffff) + (got >> 32) != SITES;
		passes++;
	}
	return unused;
}
int many_start(void)
{
	stop = 0;
	return pthread_create(&thread, 0, run, 0);
}
void many_stop(void)
{
	stop = 1;
	pthread_join(thread, 0);
}
long many_passes(void) { return passes; }
long many_wrong(void) { return wrong; }
/* How many sites call the second target now. */
long many_twos(void) { return (long)(many_pass() >> 32); }
