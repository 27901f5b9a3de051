/* Keys whose answers were wrong or missing once: one name for two functions, a site that one store cannot empty. */
#include "static_call.h"

long work_one(long x) { return x + 1; }
/* What a linker makes of a second function with the same code. */
long work_same(long x) __attribute__((alias("work_one")));
long work_two(long x) { return x + 2; }
DEFINE_STATIC_CALL(work, work_one);
STATIC_CALL_TARGET(work, work_same);
STATIC_CALL_TARGET(work, work_two);

void trace_on(void) {}
DEFINE_STATIC_CALL_NULL(trace, trace_on);
STATIC_CALL_TARGET(trace, trace_on);

/* Neighbours: a call that ends where another function's begins, and one whose displacement alone lies in one quadword. */
__asm__(".text\n\t.p2align 6\n\t.globl pair\n\t.type pair, @function\n"
	"pair:\n\tcall __SCT__work\n\tlea 1(%rax), %rdi\n\tcall __SCT__work\n\tret\n\t.size pair, . - pair\n\t"
	".p2align 4, 0x90\n\t.globl traced\n\t.type traced, @function\n"
	"traced:\n\t.skip 15, 0x90\n\tcall __SCT__trace\n\tret\n\t.size traced, . - traced");
long pair(long x);
void traced(void);
long both(long x) { traced(); return pair(x); }

