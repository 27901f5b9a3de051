/* Traces a process, and does nothing with it: argv[1] is its number. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>

int main(int argc, char **argv)
{
	if (argc < 2 || ptrace(PTRACE_SEIZE, atoi(argv[1]), 0, 0) != 0)
		return 1;
	puts("ready");
	fflush(stdout);
	return getchar() == EOF;
}
