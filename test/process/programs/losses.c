/* What a process takes from itself after its static calls were opened: one function for each. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "static_call.h"

static long act_one(long x) { return x + 1; }
static long act_two(long x) { return x + 2; }
DEFINE_STATIC_CALL(act, act_one);
STATIC_CALL_TARGET(act, act_two);

/* Its site begins a quadword, so that `store` takes it. */
long pass(long x)
{
	__asm__ volatile(".p2align 3" : "+D"(x));
	return static_call(act)(x) + 10;
}
long undeclared(long x) { return x + 3; }

/* From here on the system call is answered by an error, in all threads. */
int forbid(int number, int error)
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
/* This thread may open no file for reading any more. */
int landlock(void)
{
	uint64_t reading = 1u << 2 | 1u << 3;
	int rules = (int)syscall(444, &reading, sizeof reading, 0);
	if (rules < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return (int)syscall(446, rules, 0);
}
int new_root(const char *path) { return chroot(path) || chdir("/"); }
int not_dumpable(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }
/* All descriptors but the three are closed, as a daemon does, and their numbers given to another file. */
int close_all(const char *path)
{
	for (int fd = 3; fd < 64; fd++)
		if (fcntl(fd, F_GETFD) >= 0) {
			char link[64], name[64] = {0};
			char digits[] = {(char)('0' + fd / 10), (char)('0' + fd % 10), 0};
			const char *from = "/proc/self/fd/";
			int n = 0;
			while (from[n])
				link[n] = from[n], n++;
			for (int k = fd < 10; digits[k]; k++)
				link[n++] = digits[k];
			link[n] = 0;
			/* Node's own pipes and polls stay: the process would not go on. */
			if (readlink(link, name, sizeof name - 1) > 4 && name[0] == '/' && name[1] == 'p') {
				int other = open(path, O_RDWR | O_CREAT, 0600);
				dup2(other, fd);
				close(other);
			}
		}
	return 0;
}

static _Atomic int ticks, wrong;
static void on_alarm(int number)
{
	long got = pass(1);
	(void)number;
	wrong += got != 12 && got != 13;
	ticks++;
}
/* The usual idiom: while the handler runs, every signal waits. */
int alarm_every(int microseconds, int fill)
{
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	if (fill)
		sigfillset(&action.sa_mask);
	struct itimerval timer = {{0, microseconds}, {0, microseconds}};
	return sigaction(SIGALRM, &action, 0) || setitimer(ITIMER_REAL, &timer, 0);
}
int alarms(void)
{
	struct itimerval none = {{0, 0}, {0, 0}};
	setitimer(ITIMER_REAL, &none, 0);
	return wrong ? -wrong : ticks;
}

static _Atomic int ready, stop;
static pthread_t thread;
static void *loop(void *raw)
{
	uint64_t all = ~0ul;
	if (raw)
		syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, 0, 8);
	ready = 1;
	while (!stop)
		usleep(500);
	return 0;
}
/* A thread that blocks every signal, libc's own too: pthread_sigmask() would leave those out. */
int block_all(void)
{
	ready = stop = 0;
	if (pthread_create(&thread, 0, loop, &ready))
		return -1;
	while (!ready)
		usleep(100);
	return 0;
}
void end_thread(void)
{
	stop = 1;
	pthread_join(thread, 0);
}
