// Updates of its own, on any thread, from signal handlers and around fork: what the environments of
// JavaScript come and go under.

#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "static_call.h"

static long live_one(long x) { return x + 1; }
static long live_two(long x) { return x + 2; }
DEFINE_STATIC_CALL(live, live_one);
STATIC_CALL_TARGET(live, live_two);

__attribute__((noinline)) long lives_call(long x) { return static_call(live)(x); }
int lives_update(int two) { return static_call_update(live, two ? live_two : live_one); }

/* Updates on threads of their own. */
enum { RUNNING = 1000 };
static struct job {
	pthread_t thread;
	int two;
	atomic_int id, result;
} jobs[64];
static void *job_body(void *data)
{
	struct job *job = data;

	job->id = (int)syscall(SYS_gettid);
	job->result = lives_update(job->two);
	return NULL;
}
int lives_begin(int i, int two)
{
	jobs[i].two = two;
	jobs[i].id = 0;
	jobs[i].result = RUNNING;
	return pthread_create(&jobs[i].thread, NULL, job_body, &jobs[i]);
}
int lives_thread(int i) { return jobs[i].id; }
int lives_result(int i) { return jobs[i].result; }
int lives_end(int i) { return pthread_join(jobs[i].thread, NULL) ? -1 : jobs[i].result; }

/*
 * An update that is stopped just before its first exchange of the list's head, which it has read:
 * it runs one instruction at a time until there. 0 is returned once it has stopped.
 */
enum { TRAP_FLAG = 0x100 };
static atomic_int stopped, on;
static void step(int signal, siginfo_t *info, void *context)
{
	static const unsigned char exchange[] = {0xf0, 0x49, 0x0f, 0xb1}; /* lock cmpxchg [r8+], r64 */
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

	(void)signal, (void)info;
	if (memcmp((void *)registers[REG_RIP], exchange, sizeof exchange))
		return;
	registers[REG_EFL] &= ~TRAP_FLAG;
	for (stopped = 1; !on;)
		usleep(1000);
}
static void *stepped_body(void *data)
{
	struct job *job = data;

	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\torl %0, (%%rsp)\n\tpopfq\n\t"
			 "lea 128(%%rsp), %%rsp" ::"i"(TRAP_FLAG) : "memory", "cc");
	job->result = lives_update(job->two);
	return NULL;
}
static struct sigaction before;
int lives_stop(int i, int two)
{
	struct sigaction action = {.sa_sigaction = step, .sa_flags = SA_SIGINFO};

	jobs[i].two = two;
	jobs[i].result = RUNNING;
	if (sigaction(SIGTRAP, &action, &before) ||
	    pthread_create(&jobs[i].thread, NULL, stepped_body, &jobs[i]))
		return -1;
	while (!stopped)
		usleep(1000);
	return 0;
}
int lives_go_on(void)
{
	on = 1;
	return sigaction(SIGTRAP, &before, NULL);
}

/* Updates from a signal handler. */
static atomic_int handled = RUNNING, answers[256];
static void handler(int signal)
{
	int saved = errno;
	int result = signal == SIGUSR1 ? 0 : lives_update(1);

	handled = result;
	answers[-result & 255]++;
	errno = saved;
}
/* SIGUSR1 does nothing but interrupt. */
static int handles(int signal)
{
	struct sigaction action = {.sa_handler = handler};

	return sigaction(signal, &action, NULL);
}
int lives_signal(int thread, int signal)
{
	handled = RUNNING;
	return handles(signal) || syscall(SYS_tgkill, getpid(), thread, signal) ? -1 : 0;
}
int lives_handled(void) { return handled; }
/* A signal for the process every so many microseconds; 0 ends it. */
int lives_alarm(int us)
{
	struct itimerval every = {{0, us}, {0, us}};

	return handles(SIGALRM) || setitimer(ITIMER_REAL, &every, NULL);
}
int lives_answers(int errno_) { return answers[errno_ & 255]; }

/* A child of fork says what its own update answers, or that the word is not 0. */
long lives_fork(long word)
{
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(word && *(volatile long *)word ? 1 : -lives_update(1));
	if (child < 0 || waitpid(child, &status, 0) != child)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}
/* What a call returns in the child. */
long lives_fork_call(void)
{
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit((int)lives_call(0));
	return child < 0 || waitpid(child, &status, 0) != child ? -1 : WEXITSTATUS(status);
}
static pthread_t forker;
static atomic_long forked;
static void *fork_body(void *data)
{
	forked = lives_fork(0);
	return data;
}
int lives_fork_begin(void)
{
	forked = RUNNING;
	return pthread_create(&forker, NULL, fork_body, NULL);
}
long lives_forked(void) { return forked; }
long lives_fork_end(void) { return pthread_join(forker, NULL) ? -1 : forked; }

/* Many threads that each do something so often at once; returns how often it went wrong. */
static int each;
static atomic_int together;
static void wait_for(int threads)
{
	for (together++; together < threads;)
		;
}
struct crowd {
	pthread_t thread;
	int threads;
};
static void *update_body(void *data)
{
	long bad = 0;

	wait_for(((struct crowd *)data)->threads);
	for (int i = 0; i < each; i++)
		bad += lives_update(i & 1) != 0;
	return (void *)bad;
}
static void *call_body(void *data)
{
	long bad = 0;

	wait_for(((struct crowd *)data)->threads);
	for (int i = 0; i < each; i++)
		bad += (unsigned long)lives_call(1) - 2 > 1;
	return (void *)bad;
}
static struct crowd crowd[160];
int lives_crowd_begin(int threads, int times, int updates)
{
	each = times;
	together = 0;
	for (int i = 0; i < threads; i++) {
		crowd[i].threads = threads;
		if (pthread_create(&crowd[i].thread, NULL, updates ? update_body : call_body, &crowd[i]))
			return -1;
	}
	return 0;
}
long lives_crowd_end(int threads)
{
	long bad = 0;

	for (int i = 0; i < threads; i++) {
		void *one;

		if (pthread_join(crowd[i].thread, &one))
			return -1;
		bad += (long)one;
	}
	return bad;
}

/* A system call that is refused from now on, in every thread. */
int lives_forbid(int number, int error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}
int lives_chroot(const char *path) { return chroot(path) || chdir("/"); }
/* The process may map nothing more; 0 lifts that. */
int lives_limit(int bytes)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_AS, &limit))
		return -1;
	limit.rlim_cur = bytes ? (rlim_t)bytes : limit.rlim_max;
	return setrlimit(RLIMIT_AS, &limit);
}
