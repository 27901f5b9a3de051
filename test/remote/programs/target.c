/* A program that another process takes charge of. `target HOT KIND...`: HOT threads that call, and one
 * thread asleep in each KIND of system call. Commands come by lines on stdin: `report` prints one
 * line of JSON, `quit` ends. Every thread has an alternate stack and a mask of its own, and looks
 * after itself whether they are still what they were. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* musl's compiler has no headers of the kernel. */
#if __has_include(<linux/filter.h>)
#include <linux/filter.h>
#include <linux/seccomp.h>
#endif
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "static_call.h"

__attribute__((noinline)) static int slow(int x) { return 3 * x; }
__attribute__((noinline)) static int fast(int x) { return 5 * x; }
__attribute__((noinline)) static int other(int x) { return 7 * x; }
static _Atomic long hooked;
__attribute__((noinline)) static void count(void) { hooked++; }

DEFINE_STATIC_CALL(route, slow);
STATIC_CALL_TARGET(route, slow);
STATIC_CALL_TARGET(route, fast);
STATIC_CALL_TARGET(route, other);
DEFINE_STATIC_CALL_NULL(hook, count);
STATIC_CALL_TARGET(hook, count);
STATIC_CALL_TARGET_NULL(hook);

static _Atomic long calls, wrong, interrupted, disturbed, trapped;
static _Atomic int stopping, ready;

struct self { stack_t stack; sigset_t mask; };
static void take_stock(struct self *self)
{
	self->stack.ss_sp = malloc(32768);
	self->stack.ss_size = 32768;
	self->stack.ss_flags = 0;
	sigaltstack(&self->stack, NULL);
	sigset_t blocked;
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &blocked, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &self->mask);
	ready++;
}
static void check(struct self *self)
{
	stack_t stack;
	sigset_t mask;
	sigaltstack(NULL, &stack);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	if (stack.ss_sp != self->stack.ss_sp || stack.ss_flags != 0 || memcmp(&mask, &self->mask, 8) != 0)
		disturbed++;
}

/* Returns the sum by which a lost vector register shows. */
__attribute__((noinline)) static double beside(double a, int x, int *result)
{
	double b = a * 1.5, c = a + 2.25;
	*result = static_call(route)(x);
	static_call_cond(hook)();
	return a + b + c;
}
static void *hot(void *unused)
{
	struct self self;
	take_stock(&self);
	for (int i = 1; !stopping; i = i % 1000000 + 1) {
		int result;
		double sum = beside(i, i, &result);
		if (result != 3 * i && result != 5 * i && result != 7 * i)
			wrong++;
		if (sum != i + i * 1.5 + (i + 2.25))
			disturbed++;
		calls++;
		if (i % 1024 == 0)
			check(&self);
	}
	return unused;
}

/* One of many threads that come and go. */
static void *brief(void *unused)
{
	for (int i = 1; i < 200; i++) {
		int result;
		beside(i, i, &result);
		if (result != 3 * i && result != 5 * i && result != 7 * i)
			wrong++;
	}
	return unused;
}
static long storm(void)
{
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, brief, NULL)) abort();
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

static long asleep_in(const char *kind, int fds[2], int epoll)
{
	char byte;
	struct pollfd one = { fds[0], POLLIN, 0 };
	struct epoll_event event;
	struct timespec moment = { 0, 20000000 };
	static int turn;
	if (!strcmp(kind, "read")) return read(fds[0], &byte, 1);
	if (!strcmp(kind, "poll")) return poll(&one, 1, -1);
	if (!strcmp(kind, "ppoll")) return ppoll(&one, 1, NULL, NULL);
	if (!strcmp(kind, "epoll")) return epoll_wait(epoll, &event, 1, -1);
	if (!strcmp(kind, "pause")) return pause();
	if (!strcmp(kind, "storm")) return storm();
	if (!strcmp(kind, "turns")) return turn++ % 2 ? poll(&one, 1, -1) : pause();
	if (!strcmp(kind, "nanosleep")) return nanosleep(&moment, NULL);
	if (!strcmp(kind, "epoll-timed")) return epoll_wait(epoll, &event, 1, 20);
	return -1;
}
static void *asleep(void *kind)
{
	struct self self;
	int fds[2];
	if (pipe(fds)) abort();
	int epoll = epoll_create1(0);
	struct epoll_event event = { EPOLLIN, { 0 } };
	epoll_ctl(epoll, EPOLL_CTL_ADD, fds[0], &event);
	take_stock(&self);
	while (!stopping) {
		errno = 0;
		if (asleep_in(kind, fds, epoll) < 0 && errno == EINTR)
			interrupted++;
		check(&self);
	}
	return NULL;
}

/* The way back from a handler of SIGTRAP is there: what the kernel knows, which libc does not tell. */
static int returns(void)
{
	struct {
		void (*handler)(int);
		unsigned long flags;
		void (*restorer)(void);
		unsigned long mask;
	} action = {0};
	const unsigned long has_restorer = 0x04000000;

	return syscall(SYS_rt_sigaction, SIGTRAP, NULL, &action, sizeof action.mask) == 0 &&
	       action.handler && action.flags & has_restorer && action.restorer;
}
/* A static program has none. */
extern void *dlopen(const char *, int) __attribute__((weak));
extern void *dlsym(void *, const char *) __attribute__((weak));
static int (*plugged)(int);
static void load(const char *path)
{
	void *object = dlopen ? dlopen(path, 2) : NULL;
	plugged = object ? (int (*)(int))dlsym(object, "plugged") : NULL;
}

static void report(void)
{
	long before = calls;
	for (int i = 0; i < 2000 && calls == before && wrong == 0; i++)
		usleep(1000);
	printf("{\"calls\":%ld,\"wrong\":%ld,\"interrupted\":%ld,\"disturbed\":%ld,\"hooked\":%ld,"
	       "\"route\":%d,\"returns\":%d,\"trapped\":%ld,\"plugged\":%d}\n",
	       calls, wrong, interrupted, disturbed, hooked, static_call(route)(1), returns(), trapped,
	       plugged ? plugged(1) : 0);
	fflush(stdout);
}

static int command(char *line)
{
	int status;
	line[strcspn(line, "\n")] = 0;
	if (!strcmp(line, "report")) report();
	else if (!strncmp(line, "load ", 5)) load(line + 5);
	else if (!strcmp(line, "quit")) return 0;
	else if (!strcmp(line, "fork")) {
		pid_t child = fork();
		if (child == 0) _exit(static_call(route)(2) % 2 == 0 || static_call(route)(3) % 3 == 0 ? 0 : 1);
		waitpid(child, &status, 0);
		if (status != 0) wrong++;
	}
	return 1;
}

/* SIGTRAP is the program's own. */
static void on_trap(int signal)
{
	(void)signal;
	trapped++;
}

static void wake(int signal)
{
	(void)signal;
}

/* Waits for a child that shares its memory, where nothing can stop it. */
static void wait_for_child(int signal)
{
	(void)signal;
	if (vfork() == 0) {
		for (int fd = 0; fd < 3; fd++)
			close(fd);
		sleep(30);
		_exit(0);
	}
}

static char **arguments;

static void execute(int signal)
{
	char *environment[] = { "EXECUTED=1", NULL };
	(void)signal;
	execve("/proc/self/exe", arguments, environment);
	abort();
}

/* A sandbox in which memfd_create is refused. */
static void refuse_memory_files(void)
{
#ifdef SECCOMP_MODE_FILTER
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { 4, rules };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		abort();
#endif
}

int main(int argc, char **argv)
{
	arguments = argv;
	if (getenv("SANDBOX"))
		refuse_memory_files();
	if (getenv("TRAPS"))
		signal(SIGTRAP, on_trap);
	signal(SIGUSR1, wait_for_child);
	signal(SIGWINCH, wake);
	signal(SIGHUP, execute);
	struct self self;
	char line[256];
	int threads = argc > 1 ? atoi(argv[1]) : 1;
	take_stock(&self);
	for (int i = 0; i < threads + argc - 2; i++) {
		pthread_t thread;
		if (i < threads) pthread_create(&thread, NULL, hot, NULL);
		else pthread_create(&thread, NULL, asleep, argv[2 + i - threads]);
	}
	while (ready < 1 + threads + (argc > 2 ? argc - 2 : 0))
		usleep(1000);
	if (!getenv("EXECUTED"))
		printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin) && command(line))
		check(&self);
	stopping = 1;
	return 0;
}
