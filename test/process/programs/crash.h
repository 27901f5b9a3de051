/*
 * What a crash was, for whoever only sees that a child died: the thread, where it was, its registers, the bytes there and
 * the mappings of both addresses, on stderr. Then the signal does what it would have done.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* The line of /proc/self/maps that holds an address. Without malloc, which may be what crashed. */
static void crash_mapping(const char *what, uintptr_t at)
{
	static char maps[1 << 18];
	int file = open("/proc/self/maps", O_RDONLY);
	ssize_t n, size = 0;

	while (file >= 0 && (n = read(file, maps + size, sizeof maps - 1 - size)) > 0)
		size += n;
	close(file);
	maps[size] = 0;
	for (char *line = maps, *end; (end = strchr(line, '\n')); line = end + 1) {
		uintptr_t from, to;
		if (sscanf(line, "%lx-%lx", &from, &to) == 2 && at >= from && at < to) {
			dprintf(2, "%s 0x%lx: %.*s\n", what, at, (int)(end - line), line);
			return;
		}
	}
	dprintf(2, "%s 0x%lx: not mapped\n", what, at);
}

static void crash_report(int number, siginfo_t *info, void *context)
{
	static const char names[][4] = {"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx", "rsp", "rip"};
	const greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
	char name[32] = "?";
	int file = open("/proc/thread-self/comm", O_RDONLY);

	if (file >= 0 && read(file, name, sizeof name - 1) > 0)
		*strchrnul(name, '\n') = 0;
	close(file);
	dprintf(2, "signal %d, code %d, in thread %ld (%s) of process %d\n", number, info->si_code, syscall(SYS_gettid), name, getpid());
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		dprintf(2, "%s=0x%llx ", names[i], registers[i]);
	dprintf(2, "error=0x%llx\n", registers[REG_ERR]);
	crash_mapping("rip", registers[REG_RIP]);
	crash_mapping("rsp", registers[REG_RSP]);
	crash_mapping("address", (uintptr_t)info->si_addr);
	/* One that was sent does not come again by itself. */
	if (info->si_code <= 0)
		raise(number);
	/* Last, for they may fault: SA_RESETHAND then ends it. */
	for (int i = 0; i < 24; i++)
		dprintf(2, "%lx%s", *(unsigned long *)(registers[REG_RSP] + 8 * i), i % 8 == 7 ? "\n" : " ");
	for (int i = -16; i < 16; i++)
		dprintf(2, "%s%02x", i == 0 ? " | " : " ", *(unsigned char *)(registers[REG_RIP] + i));
	dprintf(2, "\n");
}

__attribute__((constructor)) static void report_crashes(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
	struct sigaction action;

	memset(&action, 0, sizeof action);
	action.sa_sigaction = crash_report;
	action.sa_flags = SA_SIGINFO | SA_RESETHAND | SA_ONSTACK | SA_NODEFER;
	for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
		sigaction(signals[i], &action, 0);
}
