/* Its one thread waits for a signal, which no tool can begin again. */
#include <signal.h>
#include <stdio.h>
#include "static_call.h"
static int one(int x) { return x; }
DEFINE_STATIC_CALL(route, one);
int main(void)
{
	sigset_t set;
	struct timespec long_time = { 60, 0 };
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	printf("ready\n");
	fflush(stdout);
	sigtimedwait(&set, NULL, &long_time);
	return static_call(route)(0);
}
