/*
 * The owner of a directory, against somebody who writes files there. As user UID it
 *   t: replaces each temporary file by a symbolic link to VICTIM, as soon as inotify tells of it;
 *   n: replaces each of NAMES by a link to the file of that name in PRIVATE, and puts it back;
 *   d: replaces DIRECTORY itself by a link to PRIVATE, and puts it back.
 * racer UID SECONDS MODES DIRECTORY PRIVATE VICTIM NAMES...
 */
#define _GNU_SOURCE
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static long swapped;

static void swap_temporaries(int watch, const char *victim)
{
	struct pollfd poll_fd = { watch, POLLIN, 0 };
	char events[4096] __attribute__((aligned(8)));
	while (poll(&poll_fd, 1, 0) > 0) {
		long length = read(watch, events, sizeof events);
		for (long at = 0; at < length;) {
			struct inotify_event *event = (void *)(events + at);
			size_t name = strlen(event->name);
			at += sizeof *event + event->len;
			if (event->len == 0 || name < 4 || strcmp(event->name + name - 4, ".tmp"))
				continue;
			/* Its own link is an event too, which it would replace for ever. */
			struct stat made;
			if (lstat(event->name, &made) || S_ISLNK(made.st_mode))
				continue;
			if (unlink(event->name) == 0 && symlink(victim, event->name) == 0)
				swapped++;
		}
	}
}

int main(int argc, char **argv)
{
	if (argc < 8 || setgroups(0, NULL) || setgid(atoi(argv[1])) || setuid(atoi(argv[1])))
		return 1;
	/* A test that is ended leaves nothing running. After setuid, which clears it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	const char *modes = argv[3], *directory = argv[4], *private = argv[5], *victim = argv[6];
	double end = now() + atof(argv[2]);
	char aside[4096], link[4096];
	int watch = inotify_init1(IN_NONBLOCK);
	if (chdir(directory) || inotify_add_watch(watch, ".", IN_CREATE) < 0)
		return 1;
	snprintf(aside, sizeof aside, "%s.aside", directory);
	puts("ready");
	fflush(stdout);
	for (unsigned round = 0; now() < end; round++) {
		if (strchr(modes, 't'))
			swap_temporaries(watch, victim);
		if (strchr(modes, 'n')) {
			const char *name = argv[7 + round % (argc - 7)];
			snprintf(link, sizeof link, "%s/%s", private, name);
			if (rename(name, ".aside") == 0) {
				if (symlink(link, name) == 0)
					swapped++;
				usleep(50 + round % 400);
				unlink(name);
				rename(".aside", name);
			}
		}
		if (strchr(modes, 'd') && round % 2) {
			if (rename(directory, aside) == 0) {
				if (symlink(private, directory) == 0)
					swapped++;
				usleep(50 + round % 300);
				unlink(directory);
				rename(aside, directory);
			}
		}
		usleep(strchr(modes, 'n') || strchr(modes, 'd') ? 300 : 0);
	}
	printf("%ld\n", swapped);
	return 0;
}
