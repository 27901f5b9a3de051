/* What a process may do to itself while its static calls are retargeted: one function for each. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "static_call.h"

static jmp_buf away;
static long act_one(long x) { return x + 1; }
static long act_two(long x) { return x + 2; }
static long act_jump(long x) { longjmp(away, (int)x + 3); }
DEFINE_STATIC_CALL(act, act_one);
STATIC_CALL_TARGET(act, act_two);
STATIC_CALL_TARGET(act, act_jump);

/* Its site begins a quadword, so that `store` takes it. */
long pass(long x)
{
	__asm__ volatile(".p2align 3" : "+D"(x));
	return static_call(act)(x) + 10;
}

/* The longest path through a target's body that is left by a jump; 0 would be no jump. */
static __attribute__((noinline)) int jump_once(int n)
{
	int jumped = setjmp(away);
	if (jumped)
		return jumped == n + 3;
	pass(n);
	return 0;
}
int jumps(int times)
{
	int right = 0;
	for (int n = 0; n < times; n++)
		right += jump_once(n);
	return right;
}

/* A thread that passes the site until it is told to stop, set up in one of several ways. */
#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

enum { PLAIN, BLOCKED, SMALL_STACK, STARVED, LATER };
static pthread_t thread;
static _Atomic int ready, stop, release, blocks;
static sem_t later;
static _Atomic long passed, wrong;

/* Keeps a CPU from a thread of low priority, which gets one turn of some thirty. */
static _Atomic int hogs_stop;
static pthread_t hog;
static void pin(void)
{
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	pthread_setaffinity_np(pthread_self(), sizeof one, &one);
}
static void *hog_loop(void *none)
{
	pin();
	while (!hogs_stop)
		;
	return none;
}

static void *loop(void *how)
{
	if ((intptr_t)how == STARVED) {
		sigset_t set;
		hogs_stop = 0;
		pthread_create(&hog, 0, hog_loop, 0);
		pin();
		sigemptyset(&set);
		sigaddset(&set, SIGTRAP);
		pthread_sigmask(SIG_BLOCK, &set, 0);
		setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 15);
		ready = 1;
		while (!release)
			;
		/* What libc does for a new thread: it takes a few instructions, whenever they are run. */
		pthread_sigmask(SIG_UNBLOCK, &set, 0);
	}
	if ((intptr_t)how == LATER) {
		/* Asleep: it is not on a CPU until it is to block the signal. */
		ready = 1;
		while (sem_wait(&later))
			;
	}
	if ((intptr_t)how == BLOCKED || (intptr_t)how == LATER) {
		sigset_t set;
		sigemptyset(&set);
		sigaddset(&set, SIGTRAP);
		pthread_sigmask(SIG_BLOCK, &set, 0);
		blocks = 1;
	}
	if ((intptr_t)how == SMALL_STACK) {
		/* Room for one frame of the kernel and little else, between pages that may not be touched; with AMX a frame has 11 KiB. */
		long room = (long)(getauxval(AT_MINSIGSTKSZ) + 2048 + 4095) / 4096 * 4096;
		char *pages = mmap(0, room + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		mprotect(pages + 4096, room, PROT_READ | PROT_WRITE);
		stack_t small = {.ss_sp = pages + 4096, .ss_size = room};
		if (sigaltstack(&small, 0))
			abort();
	}
	ready = 1;
	while (!stop) {
		/* A blocked one stays away from the site: it is there to be found. */
		if ((intptr_t)how != BLOCKED && (intptr_t)how != LATER) {
			long got = pass(30);
			wrong += got != 41 && got != 42;
			passed++;
		} else
			usleep(1000);
	}
	return 0;
}
int thread_start(int how)
{
	ready = stop = release = blocks = 0;
	sem_init(&later, 0, 0);
	passed = wrong = 0;
	if (pthread_create(&thread, 0, loop, (void *)(intptr_t)how))
		return -1;
	while (!ready)
		usleep(100);
	return 0;
}
void thread_release(void) { release = 1; }
void thread_block(void)
{
	sem_post(&later);
	while (!blocks)
		usleep(100);
}
long thread_stop(void)
{
	stop = 1;
	hogs_stop = 1;
	pthread_join(thread, 0);
	if (release)
		pthread_join(hog, 0);
	return wrong ? -wrong : passed;
}

/* Somebody else's SIGTRAP handler, which counts and goes on behind the instruction. */
static _Atomic int theirs, their_code;
static void handle(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	theirs++;
	their_code = info->si_code;
}
int theirs_install(void)
{
	struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};
	theirs = 0;
	return sigaction(SIGTRAP, &action, 0);
}
int theirs_count(void) { return theirs; }
int theirs_code(void) { return their_code; }
void trap_here(void) { __asm__ volatile("int3"); }
void trap_raise(void) { raise(SIGTRAP); }
void trap_ignore(void) { signal(SIGTRAP, SIG_IGN); }

/* Gives back whoever's handle of a loaded library, as a plug-in host would. */
void unload(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_NOLOAD);

	if (!handle)
		return;
	dlclose(handle); /* of this look */
	dlclose(handle); /* of whoever loaded it first */
}

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

#ifdef ROOM
/* So much text that a second mapping of it is what memory does not reach for. */
__asm__(".pushsection .text.room, \"ax\"\n\t.skip " ROOM ", 0xcc\n\t.popsection");
#endif
/* The process may map so much more than it has; a negative number lifts the limit. */
int limit_memory(long more)
{
	struct rlimit limit;
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (!file || fscanf(file, "%lu", &pages) != 1 || getrlimit(RLIMIT_AS, &limit))
		return -1;
	fclose(file);
	limit.rlim_cur = more < 0 ? limit.rlim_max : pages * 4096 + (unsigned long)more;
	return setrlimit(RLIMIT_AS, &limit);
}
/* What a child of fork gets from its site. */
long fork_pass(void)
{
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit((int)pass(1));
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
