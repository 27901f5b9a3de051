/* The C half of a program in Rust: what it calls can be retargeted. */
#include <static_call.h>

static int step_plain(int x) { return x + 1; }
static int step_up(int x) { return x + 2; }
DEFINE_STATIC_CALL(step, step_plain);
STATIC_CALL_TARGET(step, step_up);

int hooks_step(int x);
int hooks_step(int x) { return static_call(step)(x); }
