/* A program that retargets its own keys, from threads of its own, and forks while it does. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "static_call.h"

static __attribute__((noinline)) long step_one(long x) { return x + 1; }
static __attribute__((noinline)) long step_two(long x) { return x + 2; }
DEFINE_STATIC_CALL(step, step_one);
STATIC_CALL_TARGET(step, step_two);

static __attribute__((noinline)) void tell_once(long *x) { *x += 1; }
DEFINE_STATIC_CALL_NULL(tell, tell_once);
STATIC_CALL_TARGET(tell, tell_once);
static __attribute__((noinline)) void tell_twice(long *x) { *x += 2; }
STATIC_CALL_TARGET(tell, tell_twice);

long updates_step(long x) { return static_call(step)(x); }
long updates_tell(void)
{
	long x = 0;
	static_call_cond(tell)(&x);
	return x;
}

/*
 * Whether a script goes through in a copy of the process, for which no handlers of fork run.
 * Machine code alone: the engine's own is not there.
 */
int64_t updates_in_copy(int64_t perform, int64_t script)
{
	int status;
	pid_t copy = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (copy == 0)
		_exit(((int64_t (*)(int64_t))perform)(script) == -1);
	if (copy < 0 || waitpid(copy, &status, 0) != copy)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static _Atomic long failures;

static void *updater(void *count)
{
	for (long i = 0; i < (long)count; i++) {
		/* When it returns the update is done: nobody else updates this key, so the next call shows it. */
		if (static_call_update(step, i & 1 ? step_one : step_two) || static_call(step)(10) != (i & 1 ? 11 : 12))
			failures++;
		if (static_call_update(tell, i & 1 ? tell_once : NULL) || updates_tell() != (i & 1))
			failures++;
	}
	return 0;
}

/* Sits in pthread_join, as a main thread may, until its updater has done `count` rounds. Returns failures. */
long updates_join(long count)
{
	pthread_t thread;

	failures = 0;
	if (pthread_create(&thread, 0, updater, (void *)count))
		return -1;
	pthread_join(thread, 0);
	return failures;
}

/* The numbers that C is given back. */
int updates_to_return0(void) { return static_call_update(step, STATIC_CALL_RETURN0(step)); }
int updates_to_two(void) { return static_call_update(step, step_two); }
int updates_tell_nothing(void) { return static_call_update(tell, NULL); }

static long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/*
 * Forks `forks` children one after the other. Each passes the site for `ms` and reports whether every call went to
 * one target, the one of the fork; and that an update of its own is refused. Returns children that saw anything else.
 */
static int child_main(long ms)
{
	long first = static_call(step)(0), end = now_ms() + ms;

	alarm(2); /* a child that believes in its parent's server would wait for ever */
	while (now_ms() < end)
		for (int i = 0; i < 1000; i++)
			if (static_call(step)(0) != first)
				return 1;
	return static_call_update(step, step_one) == -ENOSYS ? 0 : 2;
}

long updates_fork(long forks, long ms)
{
	long bad = 0;
	for (long i = 0; i < forks; i++) {
		int status = 0;
		pid_t pid = fork();
		if (pid == 0)
			_exit(child_main(ms));
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			bad++;
	}
	return bad;
}

struct fork_job { long forks, ms, bad; };
static pthread_t fork_thread;
static struct fork_job job;
static void *forker(void *arg)
{
	struct fork_job *j = arg;
	j->bad = updates_fork(j->forks, j->ms);
	return 0;
}
int updates_fork_start(long forks, long ms)
{
	job = (struct fork_job){forks, ms, -1};
	return pthread_create(&fork_thread, 0, forker, &job);
}
long updates_fork_wait(void)
{
	pthread_join(fork_thread, 0);
	return job.bad;
}
