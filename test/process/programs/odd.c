/* Targets that only the dynamic linker knows, and a site in a function that keeps its data below the stack pointer. */
#include "static_call.h"

static long slow(long x) { return x + 1; }
static long fast(long x) { return x + 2; }
static long (*choose(void))(long) { return fast; }
long chosen(long x) __attribute__((ifunc("choose")));
DEFINE_STATIC_CALL(odd, slow);
STATIC_CALL_TARGET(odd, chosen);

static int library_abs(int x) { return x < 0 ? -x : x; }
extern int abs(int);
DEFINE_STATIC_CALL(other, library_abs);
STATIC_CALL_TARGET(other, abs);

static void quiet(void) {}
DEFINE_STATIC_CALL(leaf, quiet);
STATIC_CALL_TARGET_NULL(leaf);

long odd_call(long x) { return static_call(odd)(x); }
int other_call(int x) { return static_call(other)(x); }

/* A leaf that keeps eight words in the red zone around its site; how many of them are still there. Right while the site is empty. */
__attribute__((naked)) long leaf_kept(void)
{
	__asm__(
		".set i, 1\n\t.rept 8\n\tmovq $i, -8*i(%rsp)\n\t.set i, i+1\n\t.endr\n\t"
		"call __SCT__leaf\n\t"
		"xor %eax, %eax\n\t"
		".set i, 1\n\t.rept 8\n\tcmpq $i, -8*i(%rsp)\n\tjne 1f\n\tinc %rax\n1:\t.set i, i+1\n\t.endr\n\t"
		"ret");
}
