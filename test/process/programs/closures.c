/* A hook with threads of its own that call it, for functions of JavaScript as targets. */
#include <static_call.h>
#include <pthread.h>

static int twice(int a) { return 2 * a; }
static int thrice(int a) { return 3 * a; }

DEFINE_STATIC_CALL(hook, twice);
STATIC_CALL_TARGET(hook, twice);
STATIC_CALL_TARGET(hook, thrice);
static void nothing(const char *name) { (void)name; }
DEFINE_STATIC_CALL(note, nothing);

int call(int a) { return static_call(hook)(a); }
void tell(const char *name) { static_call(note)(name); }

static void *forever(void *unused)
{
	for (;;)
		static_call(hook)(1);
	return unused;
}

int start(void)
{
	pthread_t thread;

	return pthread_create(&thread, 0, forever, 0);
}
