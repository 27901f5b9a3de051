/* A program whose key several writers want at once. With an argument a thread of its own retargets it, again and
 * again, between two of the four targets (built with a runtime); otherwise it only calls. Ends with its input and
 * prints what came of it. */
#include <pthread.h>
#include <static_call.h>
#include <stdio.h>
#include <unistd.h>

#define TARGET(name, factor) \
	__attribute__((noinline)) static int name(int x) { return factor * x; }
TARGET(three, 3)
TARGET(five, 5)
TARGET(seven, 7)
TARGET(nine, 9)
DEFINE_STATIC_CALL(route, three);
STATIC_CALL_TARGET(route, five);
STATIC_CALL_TARGET(route, seven);
STATIC_CALL_TARGET(route, nine);

static _Atomic long calls, wrong, updates, refused;
static _Atomic int stopping, updating = 1;

static int right(int result, int x)
{
	return result == 3 * x || result == 5 * x || result == 7 * x || result == 9 * x;
}

/* More sites than one, so that an update could be mixed. */
static void *hot(void *unused)
{
	for (int i = 1; !stopping; i = i % 1000000 + 1) {
		int one = static_call(route)(i), two = static_call(route)(i + 1), three = static_call(route)(i + 2);
		if (!right(one, i) || !right(two, i + 1) || !right(three, i + 2))
			wrong++;
		calls++;
	}
	return unused;
}

static void *own(void *unused)
{
#ifdef STATIC_CALL_RUNTIME
	for (int i = 0; updating; i++) {
		if (static_call_update(route, i % 2 ? seven : nine) == 0)
			updates++;
		else
			refused++;
		/* An operator who never finds two moments alike is told `busy`. */
		usleep(20000);
	}
#endif
	updating = -1;
	return unused;
}

static void *asleep(void *unused)
{
	for (;;)
		pause();
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	(void)argv;
	pthread_create(&thread, NULL, asleep, NULL);
	pthread_create(&thread, NULL, hot, NULL);
	puts("ready");
	fflush(stdout);
	/* A first line begins its own updates, a second one ends them. */
	if (getchar() != EOF && argc > 1) {
		pthread_create(&thread, NULL, own, NULL);
		getchar();
		updating = 0;
		while (updating != -1)
			usleep(1000);
	}
	printf("{\"updates\": %ld, \"refused\": %ld}\n", updates, refused);
	fflush(stdout);
	while (getchar() != EOF)
		;
	stopping = 1;
	printf("{\"calls\": %ld, \"wrong\": %ld}\n", calls, wrong);
	return 0;
}
