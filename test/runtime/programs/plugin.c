// A shared object with keys and a runtime of its own: it is loaded and unloaded while its program lives.

#include <static_call.h>

static int up(int a) { return a + 1; }
static int down(int a) { return a - 1; }
DEFINE_STATIC_CALL(step, up);
STATIC_CALL_TARGET(step, down);

int plugin_run(int a) { return static_call(step)(a); }
int plugin_choose(int which) { return static_call_update(step, which ? down : up); }
