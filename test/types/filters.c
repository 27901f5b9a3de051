/* The library that the examples of the documentation speak of. */
#include <static_call.h>
int blend_scalar(int a, int b) { return (a + b) / 2; }
int blend_avx2(int a, int b) { return a > b ? a : b; } /* a stand-in: what counts is that it answers otherwise */
static int ring;
void trace_ring(int what) { ring = what; }
void my_ring(int what) { ring = -what; }

DEFINE_STATIC_CALL(blend, blend_scalar);
STATIC_CALL_TARGET(blend, blend_avx2);
STATIC_CALL_TARGET_RET0(blend);
DEFINE_STATIC_CALL_NULL(trace, trace_ring);
STATIC_CALL_TARGET(trace, trace_ring);

int pixel(int a, int b) { static_call_cond(trace)(a); return static_call(blend)(a, b); }
