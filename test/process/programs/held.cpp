/*
 * A program that is looked at while an update of it is held between two steps: a thread that goes through a site
 * into a target and stays there, one that gets an exception back through the site, and one that passes it while
 * signals, whose handler passes it too, come in a thousand times a second.
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "static_call.h"

#define NOINLINE __attribute__((noinline))

static std::atomic<int> stays, release;

static NOINLINE long act_quiet(long x) { return x + 1; }
static NOINLINE long act_stay(long x)
{
	stays++;
	while (!release)
		usleep(1000);
	return x + 2;
}
static NOINLINE long act_throw(long x)
{
	if (x >= 0)
		throw x;
	return x;
}
DEFINE_STATIC_CALL(act, act_quiet);
STATIC_CALL_TARGET(act, act_stay);
STATIC_CALL_TARGET(act, act_throw);

struct Unwound {
	std::atomic<int> &count;
	~Unwound() { count++; }
};
static std::atomic<int> unwound;

static NOINLINE long middle(long x)
{
	Unwound u{unwound};
	return static_call(act)(x) + 100;
}
static NOINLINE long outer(long x) { return middle(x) + 1000; }

static pthread_t thread, sender;
static std::atomic<long> result;
static void *held_thread(void *)
{
	result = outer(7);
	return nullptr;
}

extern "C" {
int held_start(void)
{
	release = 0;
	stays = 0;
	return pthread_create(&thread, nullptr, held_thread, nullptr);
}
int held_stays(void) { return stays; }
long held_finish(void)
{
	release = 1;
	pthread_join(thread, nullptr);
	return result;
}

/* What was thrown, or -1; `unwound` tells that the frame between was left in order. */
long held_throw(long x)
{
	int before = unwound;
	try {
		outer(x);
	} catch (long thrown) {
		return unwound == before + 1 ? thrown : -2;
	}
	return -1;
}

static std::atomic<long> handled, passed, wrong, over;
static void on_signal(int)
{
	handled++;
	wrong += static_call(act)(5) != 6;
}
static void *pass(void *)
{
	while (!over) {
		passed++;
		wrong += static_call(act)(40) != 41;
	}
	return nullptr;
}
static void *send(void *)
{
	while (!over) {
		timespec ms = {0, 1000000};
		pthread_kill(thread, SIGUSR2);
		nanosleep(&ms, nullptr);
	}
	return nullptr;
}
int storm_start(void)
{
	struct sigaction action = {};
	action.sa_handler = on_signal;
	sigaction(SIGUSR2, &action, nullptr);
	over = 0;
	return pthread_create(&thread, nullptr, pass, nullptr) || pthread_create(&sender, nullptr, send, nullptr);
}
void storm_stop(void)
{
	over = 1;
	pthread_join(sender, nullptr);
	pthread_join(thread, nullptr);
}
long storm_handled(void) { return handled; }
long storm_passed(void) { return passed; }
long storm_wrong(void) { return wrong; }
}
