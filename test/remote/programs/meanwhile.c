/* A program that does something of its own while another process changes it. `meanwhile COMMANDS ANSWERS OWN`: one
 * thread that calls, one asleep, and the first, which takes commands of one letter from the FIFO COMMANDS and says in
 * ANSWERS that they are done. OWN is a file of its own, in which nothing of anybody else's may ever stand. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include "static_call.h"

__attribute__((noinline)) static int slow(int x) { return 3 * x; }
__attribute__((noinline)) static int fast(int x) { return 5 * x; }
__attribute__((noinline)) static int other(int x) { return 7 * x; }
DEFINE_STATIC_CALL(route, slow);
STATIC_CALL_TARGET(route, slow);
STATIC_CALL_TARGET(route, fast);
STATIC_CALL_TARGET(route, other);

static _Atomic long calls, wrong;
static _Atomic int stopping, ready;

static int right(int x)
{
	int result = static_call(route)(x);
	return result == 3 * x || result == 5 * x || result == 7 * x;
}

static void *hot(void *unused)
{
	ready++;
	for (int i = 1; !stopping; i = i % 1000000 + 1) {
		if (!right(i))
			wrong++;
		calls++;
	}
	return unused;
}

static void *asleep(void *unused)
{
	ready++;
	for (;;)
		pause();
	return unused;
}

/* Waits until the site that it trapped on is whole, and lets the thread run it again. */
static void on_trap(int signal, siginfo_t *info, void *context)
{
	greg_t *at = &((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	(void)signal, (void)info;
	*at -= 1;
	while (*(volatile unsigned char *)*at == 0xcc)
		;
}

static int commands, answers;
enum { OWN_FILES = 16 };
static int own_files;
static char *const *arguments;

static void reach_out(void)
{
	commands = open(arguments[1], O_RDWR | O_CLOEXEC);
	answers = open(arguments[2], O_RDWR | O_CLOEXEC);
	if (commands < 0 || answers < 0)
		abort();
}

static void close_everything(void)
{
	for (int fd = 0; fd < 64; fd++)
		close(fd);
	/* Whichever number another process has kept is this file's now. */
	for (; own_files < OWN_FILES; own_files++)
		open(arguments[3], O_RDWR | O_CREAT, 0600);
	reach_out();
}

static void block(int how)
{
	sigset_t trap;

	sigemptyset(&trap);
	sigaddset(&trap, SIGTRAP);
	pthread_sigmask(how, &trap, NULL);
}

static void child(int by_vfork)
{
	int status = -1;
	pid_t pid = by_vfork ? vfork() : fork();

	if (pid == 0 && by_vfork) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(1);
	}
	if (pid == 0) {
		for (int i = 1; i < 1000; i++)
			if (!right(i))
				_exit(1);
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status != 0)
		wrong++;
}

static void report(void)
{
	char line[100];
	long before = calls;

	for (int fd = 0; fd < own_files; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			wrong++;
	for (int i = 0; i < 5000 && calls == before; i++)
		usleep(1000);
	snprintf(line, sizeof line, "{\"calls\":%ld,\"wrong\":%ld,\"route\":%d}\n", calls - before, wrong,
		 static_call(route)(1));
	if (write(answers, line, strlen(line)) < 0)
		abort();
}

static void act(char command)
{
	struct sigaction trap = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_NODEFER};

	switch (command) {
	case 'e': exit(0);
	case 'x': execv("/proc/self/exe", arguments); abort();
	case 'f': child(0); break;
	case 'v': child(1); break;
	case 'u': if (setuid(65534)) abort(); break;
	case 'c': close_everything(); break;
	case 'h': sigaction(SIGTRAP, &trap, NULL); break;
	case 'b': block(SIG_BLOCK); break;
	case 'B': block(SIG_UNBLOCK); break;
	case 'r': report(); return;
	}
	if (write(answers, ".\n", 2) < 0)
		abort();
}

int main(int argc, char **argv)
{
	pthread_t one, two;
	char command;

	if (argc < 4)
		return 2;
	arguments = argv;
	reach_out();
	pthread_create(&one, NULL, hot, NULL);
	pthread_create(&two, NULL, asleep, NULL);
	while (ready < 2)
		usleep(100);
	if (write(answers, "ready\n", 6) < 0)
		abort();
	for (;;) {
		ssize_t got = read(commands, &command, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got != 1)
			return 3;
		act(command);
	}
}
