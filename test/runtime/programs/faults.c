// Every system call of the runtime goes through here: it is written down, or made to fail. argv[1]:
// `order` prints the effects of one update, `back` of one whose second kind of store is refused
// once at the call's site; `every` makes each effect fail in turn, once and for ever; `calls` prints
// the system calls of an update, and how many pages were mapped for good. The environment's REFUSED
// is the call that is refused when the page of the mark is made: mmap or madvise.

#define _GNU_SOURCE
#include <errno.h>
#include <static_call.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int add(int a, int b) { return a + b; }
/*
 * A page away and at an odd address, so that two bytes of a displacement change and sites are
 * trapped: a change of one byte needs no trap.
 */
int sub(int a, int b);
__asm__(".pushsection .text\n\t.balign 4096\n\t.skip 119\n\t.globl sub\n\t.type sub, @function\nsub:\n\t"
	"movl %edi, %eax\n\tsubl %esi, %eax\n\tret\n\t.size sub, . - sub\n\t.skip 4096\n\t.popsection");
int near_add(int a, int b) { return a * b; }
DEFINE_STATIC_CALL(op, add);
STATIC_CALL_TARGET(op, sub);
STATIC_CALL_TARGET(op, near_add);

__attribute__((noinline)) int call(int a, int b) { return static_call(op)(a, b) + 1; }
__attribute__((noinline)) int tail(int a, int b) { return static_call(op)(a, b); }

static int tracing, published, refusing;
static long effects, fail_at, fail_from;
static int listing, pages;

static const unsigned char *site(void)
{
	static const unsigned char *at;

	for (at = at ? at : (const unsigned char *)call; !published && at[0] != 0xe8 && at[0] != 0xcc;)
		at++;
	return at;
}

static void told(const char *what)
{
	if (published != (static_call_query(op) == sub)) {
		published = !published;
		printf(published ? "published\n" : "taken back\n");
	}
	printf("%s\n", what);
}

static void trace(long number, long a, long b, long c, long d)
{
	const unsigned char *bytes = (const unsigned char *)b;
	long i;

	if (number == SYS_membarrier && a == 32)
		told("sync");
	if (number == SYS_rt_sigaction && a == 5 && b == 0)
		told("asked");
	if (number != SYS_pwrite64 || d < (long)site() || d >= (long)site() + 5)
		return;
	for (i = 0; i < c; i++) {
		char line[32];

		snprintf(line, sizeof line, "store %ld %d", d - (long)site() + i, bytes[i]);
		told(line);
	}
}

static void list(long number)
{
	static const struct {
		long number;
		const char *name;
	} calls[] = {
		{SYS_gettid, "gettid"},		      {SYS_lseek, "lseek"},
		{SYS_pread64, "pread"},		      {SYS_pwrite64, "pwrite"},
		{SYS_rt_sigaction, "sigaction"}, {SYS_membarrier, "membarrier"},
	};
	size_t i;

	for (i = 0; i < sizeof calls / sizeof *calls && calls[i].number != number; i++)
		;
	printf("%s\n", i < sizeof calls / sizeof *calls ? calls[i].name : "another");
}

/* What is asked for the page whose first word is the mark, before main(). */
static int is_refused(long number, long b, long d)
{
	const char *refused = getenv("REFUSED");

	return refused && ((number == SYS_mmap && b == 4096 && d == 0x22 && strcmp(refused, "mmap") == 0) ||
			   (number == SYS_madvise && strcmp(refused, "madvise") == 0));
}

long effect(long number, long a, long b, long c, long d, long e, long f);
long effect(long number, long a, long b, long c, long d, long e, long f)
{
	int counts = number == SYS_pwrite64 || (number == SYS_membarrier && a == 32) ||
		     (number == SYS_rt_sigaction && a == 5) || number == SYS_lseek || number == SYS_pread64 ||
		     number == SYS_mmap;
	long result;

	if (listing)
		list(number);
	if (is_refused(number, b, d))
		return -ENOMEM;

	if (refusing && number == SYS_pwrite64 && d == (long)site() + 1) {
		refusing = 0;
		told("refused");
		return -ENOMEM;
	}
	if (tracing)
		trace(number, a, b, c, d);
	if (counts && ++effects && ((fail_at && effects == fail_at) || (fail_from && effects >= fail_from)))
		return -ENOMEM;
	result = syscall(number, a, b, c, d, e, f);
	if (result >= 0 && b == 4096)
		pages += (number == SYS_mmap && d == 0x22) - (number == SYS_munmap);
	return result < 0 ? -errno : result;
}

static int is(int (*func)(int, int)) { return call(7, 3) == func(7, 3) + 1 && tail(7, 3) == func(7, 3); }

/*
 * After an effect that failed: each call does what the old target does, or the new one. All calls
 * do the same where sites are trapped; others may be left some old and some new, each whole.
 */
static int whole(int result, int (*from)(int, int), int (*to)(int, int), int trapped)
{
	int (*now)(int, int) = static_call_query(op);

	if (result == 0)
		return now == to && is(to);
	if (trapped)
		return (now == from || now == to) && is(now);
	return (call(7, 3) == from(7, 3) + 1 || call(7, 3) == to(7, 3) + 1) &&
	       (tail(7, 3) == from(7, 3) || tail(7, 3) == to(7, 3));
}

static int cure(void)
{
	fail_at = fail_from = 0;
	return static_call_update(op, sub) == 0 && is(sub) && static_call_update(op, add) == 0 && is(add) &&
	       static_call_state(op) == STATIC_CALL_DIRECT;
}

static int every(int (*to)(int, int), int trapped)
{
	long k, count, parked = 0, refused = 0;

	effects = 0;
	if (static_call_update(op, to) != 0)
		return 1;
	count = effects;
	if (!cure())
		return 1;
	for (k = 1; k <= count; k++) {
		int for_ever;

		for (for_ever = 0; for_ever < 2; for_ever++) {
			int result;

			effects = 0;
			fail_at = for_ever ? 0 : k;
			fail_from = for_ever ? k : 0;
			result = static_call_update(op, to);
			refused += result != 0;
			if (!whole(result, add, to, trapped)) {
				printf("effect %ld failed %s: %d, %d %d\n", k, for_ever ? "for ever" : "once", result, call(7, 3),
				       tail(7, 3));
				return 1;
			}
			fail_at = fail_from = 0;
			parked += static_call_state(op) == STATIC_CALL_PARKED;
			if (!cure()) {
				printf("effect %ld: no cure\n", k);
				return 1;
			}
		}
	}
	printf("{\"effects\": %ld, \"refused\": %ld, \"parked\": %ld}\n", count, refused, parked);
	return 0;
}

/* Of an update that is not the process's first. */
static int calls(void)
{
	if (static_call_update(op, sub) != 0)
		return 1;
	listing = 1;
	if (static_call_update(op, add) != 0)
		return 1;
	listing = 0;
	printf("pages %d\n", pages);
	return !is(add);
}

int main(int argc, char **argv)
{
	int i, back;

	if (argc > 1 && strcmp(argv[1], "every") == 0)
		return every(sub, 1);
	if (argc > 1 && strcmp(argv[1], "near") == 0)
		return every(near_add, 0);
	if (argc > 1 && strcmp(argv[1], "calls") == 0)
		return calls();
	tracing = 1;
	back = refusing = argc > 1 && strcmp(argv[1], "back") == 0;
	if ((static_call_update(op, sub) != 0) != back)
		return 1;
	tracing = 0;
	printf("bytes");
	for (i = 0; i < 5; i++)
		printf(" %d", site()[i]);
	printf("\n");
	return 0;
}
