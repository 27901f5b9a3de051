/*
 * What a child of fork() can do to its parent by what it inherits: a server forks, the child gives up its credentials and
 * runs somebody else's code. The child tries every descriptor and every shared mapping and answers by its exit status and
 * a pipe; the parent then looks whether it is as it was.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "static_call.h"

long act_one(long x) { return x + 1; }
long act_two(long x) { return x + 2; }
DEFINE_STATIC_CALL(act, act_one);
STATIC_CALL_TARGET(act, act_two);
__attribute__((noinline)) long pass(long x) { return static_call(act)(x) + 10; }

static char secret[64] = "the parent's";

/* Of the parent's: its data, its code, a site, and whatever else the test names. */
struct places {
	uint64_t at[8];
	int count;
};

static int tried, written;

static void through_descriptors(const struct places *p)
{
	DIR *dir = opendir("/proc/self/fd");
	for (struct dirent *e; dir && (e = readdir(dir));) {
		int fd = atoi(e->d_name);
		if (fd <= 2 || fd == dirfd(dir))
			continue;
		for (int i = 0; i < p->count; i++) {
			tried++;
			if (pwrite(fd, "\xf4", 1, (off_t)p->at[i]) == 1 && lseek(fd, 0, SEEK_END) < 0)
				written++;
		}
	}
}

/* Shared pages, as they are or made writable: every byte of the first kind, what the places show of the second. */
static void through_mappings(const struct places *p)
{
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "r");
	struct { uint64_t from, to; char access[5]; int ours; } all[4096];
	int n = 0;
	while (maps && n < 4096 && fgets(line, sizeof line, maps))
		if (sscanf(line, "%lx-%lx %4s", &all[n].from, &all[n].to, all[n].access) == 3)
			all[n++].ours = strstr(line, "static-call") != NULL;
	for (int i = 0; i < n; i++) {
		int named = all[i].ours;
		for (int k = 0; k < p->count; k++)
			named |= p->at[k] >= all[i].from && p->at[k] < all[i].to;
		if (all[i].access[3] != 's' || !named)
			continue;
		tried++;
		if (all[i].access[1] != 'w' &&
		    mprotect((void *)all[i].from, all[i].to - all[i].from, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
			continue;
		memset((void *)all[i].from, 0xf4, all[i].to - all[i].from);
		written++;
	}
	/* What is the child's own it may change; the parent must not see it. */
	for (int k = 0; k < p->count; k++) {
		uint64_t page = p->at[k] & ~4095ul;
		if (mprotect((void *)page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) == 0)
			memset((void *)p->at[k], 0xf4, 1);
	}
}

/* how: 0 fork(), 1 a raw clone(), which runs no handlers. Returns tries * 1000 + successes, negative where it failed. */
long attack(int how, uint64_t veneer, uint64_t other)
{
	static struct places p;
	p.at[0] = (uint64_t)secret;
	p.at[1] = (uint64_t)act_one;
	p.at[2] = (uint64_t)pass;
	p.at[3] = veneer ? veneer : (uint64_t)secret;
	p.at[4] = other ? other : (uint64_t)secret;
	p.count = 5;
	int back[2], status;
	if (pipe(back) != 0)
		return -1;
	pid_t child = how == 0 ? fork() : (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (child == 0) {
		if (geteuid() == 0 && (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)))
			_exit(9);
		through_descriptors(&p);
		through_mappings(&p);
		long answer = tried * 1000L + written;
		_exit(write(back[1], &answer, sizeof answer) == sizeof answer ? 0 : 8);
	}
	close(back[1]);
	long answer = -2;
	if (read(back[0], &answer, sizeof answer) != sizeof answer)
		answer = -3;
	close(back[0]);
	if (waitpid(child, &status, 0) != child || status != 0)
		return -1000 - status;
	return answer;
}
int intact(void) { return strcmp(secret, "the parent's") == 0 && act_one(1) == 2 && act_two(1) == 3; }

/* In a child of fork(): what an update there does. `update` is called back, and the child's answer comes through a pipe. */
long in_child(long (*body)(void))
{
	int back[2], status;
	if (pipe(back) != 0)
		return -1;
	pid_t child = fork();
	if (child == 0) {
		long answer = body();
		_exit(write(back[1], &answer, sizeof answer) == sizeof answer ? 0 : 8);
	}
	close(back[1]);
	long answer = -2;
	if (read(back[0], &answer, sizeof answer) != sizeof answer)
		answer = -3;
	close(back[0]);
	waitpid(child, &status, 0);
	return answer;
}
