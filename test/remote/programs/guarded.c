/* A program that the kernel protects from other processes of its user: as it is where its file is
 * set-uid, and by its own wish with an argument. */
#include <stdio.h>
#include <sys/prctl.h>

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		prctl(PR_SET_DUMPABLE, 0);
	puts("ready");
	fflush(stdout);
	return getchar() == EOF;
}
