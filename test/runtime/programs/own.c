// A program with a runtime of its own, and a way into each of its lives by a word on the command line.

#define _GNU_SOURCE
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <static_call.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int add(int a, int b) { return a + b; }
/*
 * A page away and at an odd address, so that two bytes of a displacement change and sites are trapped: a change of one
 * byte needs no trap.
 */
int sub(int a, int b);
__asm__(".pushsection .text\n\t.balign 4096\n\t.skip 119\n\t.globl sub\n\t.type sub, @function\nsub:\n\t"
	"movl %edi, %eax\n\tsubl %esi, %eax\n\tret\n\t.size sub, . - sub\n\t.skip 4096\n\t.popsection");
void tick(int *count) { ++*count; }

DEFINE_STATIC_CALL(op, add);
STATIC_CALL_TARGET(op, sub);
STATIC_CALL_TARGET_RET0(op);
DEFINE_STATIC_CALL_NULL(hook, tick);
/* In libc, where no 32-bit displacement of a position-independent program leads. */
DEFINE_STATIC_CALL(far, abs);

__attribute__((noinline)) int call(int a, int b) { return static_call(op)(a, b) + 1; }
__attribute__((noinline)) int tail(int a, int b) { return static_call(op)(a, b); }
__attribute__((noinline)) void notify(int *count)
{
	static_call_cond(hook)(count);
	__asm__ volatile("");
}
__attribute__((noinline)) int distance(int a) { return static_call(far)(a) + 1; }

static int failed;
#define CHECK(what)                                                              \
	do {                                                                     \
		if (!(what)) {                                                   \
			printf("%s:%d: %s\n", __func__, __LINE__, #what);        \
			failed = 1;                                              \
		}                                                                \
	} while (0)

static int to(int (*func)(int, int)) { return static_call_update(op, func); }

/* Whether a site of that function calls its target without a detour. */
static int is_direct(const void *function, const void *target)
{
	const unsigned char *at = function;
	int i;

	for (i = 0; i < 40; i++) {
		int distance;

		memcpy(&distance, at + i + 1, 4);
		if ((at[i] == 0xe8 || at[i] == 0xe9) && at + i + 5 + distance == (const unsigned char *)target)
			return 1;
	}
	return 0;
}

static void start(void)
{
	CHECK(static_call_state(op) == STATIC_CALL_DIRECT);
	CHECK(is_direct((void *)call, (void *)add));
	CHECK(is_direct((void *)tail, (void *)add));
	CHECK(call(7, 3) == 11);
}

static void update(void)
{
	int count = 0;

	CHECK(to(sub) == 0 && call(7, 3) == 5 && tail(7, 3) == 4);
	CHECK(is_direct((void *)call, (void *)sub));
	CHECK(static_call_query(op) == sub);
	CHECK(to(sub) == 0);
	CHECK(to(STATIC_CALL_RETURN0(op)) == 0 && call(7, 3) == 1 && tail(7, 3) == 0);
	CHECK(static_call_query(op)(1, 2) == 0);
	CHECK(to(add) == 0 && call(7, 3) == 11);
	notify(&count);
	CHECK(count == 0);
	CHECK(static_call_update(hook, tick) == 0);
	notify(&count);
	CHECK(count == 1);
	CHECK(static_call_update(hook, NULL) == 0 && static_call_query(hook) == NULL);
	notify(&count);
	CHECK(count == 1);
	CHECK(distance(-4) == 5 && static_call_update(far, toascii) == 0 && distance('a') == 'a' + 1);
	CHECK(static_call_update(far, abs) == 0 && distance(-4) == 5);
}

static void refused(void)
{
	struct static_call_change changes[] = {STATIC_CALL_CHANGE(hook, tick), STATIC_CALL_CHANGE(op, sub)};
	struct static_call_key stranger = {NULL, NULL};

	errno = 7;
	CHECK(to(NULL) == -EINVAL);
	changes[1].func = NULL;
	CHECK(static_call_update_batch(changes, 2) == -EINVAL && static_call_query(hook) == NULL);
	changes[1].key = &stranger;
	CHECK(static_call_update_batch(changes, 2) == -ENOENT && static_call_query(hook) == NULL);
	CHECK(call(7, 3) == 11 && errno == 7);
}

static void batch(void)
{
	struct static_call_change changes[] = {STATIC_CALL_CHANGE(op, sub), STATIC_CALL_CHANGE(hook, tick)};
	struct static_call_change many[40];
	int i, count = 0;

	CHECK(static_call_update_batch(changes, 2) == 0);
	notify(&count);
	CHECK(call(7, 3) == 5 && count == 1);
	for (i = 0; i < 40; i++)
		many[i] = STATIC_CALL_CHANGE(op, i % 2 ? add : sub);
	CHECK(static_call_update_batch(many, 40) == 0 && call(7, 3) == 11);
	CHECK(static_call_update_batch(many, 0) == 0);
}

/* A breakpoint of another tool on a site. */
static void foreign(void)
{
	unsigned char now, trap = 0xcc;
	FILE *memory = fopen("/proc/self/mem", "r+");
	long at = (long)__SCT__op;

	CHECK(memory);
	memcpy(&now, (void *)at, 1);
	setvbuf(memory, NULL, _IONBF, 0);
	fseek(memory, at, SEEK_SET);
	fwrite(&trap, 1, 1, memory);
	CHECK(to(sub) == -EBUSY);
	fseek(memory, at, SEEK_SET);
	fwrite(&now, 1, 1, memory);
	CHECK(call(7, 3) == 11 && to(sub) == 0 && call(7, 3) == 5);
	fclose(memory);
}

static void block(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	pthread_sigmask(how, &set, NULL);
}

static int phase;
static void *blocker(void *none)
{
	block(SIG_BLOCK);
	__atomic_store_n(&phase, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&phase, __ATOMIC_SEQ_CST) == 1)
		usleep(1000);
	return none;
}

static void settle(void) { usleep(150 * 1000); /* a look at the threads is good for 100 ms */ }

static void blocked(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, blocker, NULL);
	while (__atomic_load_n(&phase, __ATOMIC_SEQ_CST) == 0)
		usleep(1000);
	settle();
	CHECK(to(sub) == -EBUSY && call(7, 3) == 11);
	__atomic_store_n(&phase, 2, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	CHECK(to(sub) == 0 && call(7, 3) == 5);
}

static void on_signal(int signal) { (void)signal; }

/* A hook that goes off and on to the same target is one byte: no trap is planted, and none can kill. */
static void unhurt(void)
{
	pthread_t thread;
	int count = 0;

	CHECK(static_call_update(hook, tick) == 0);
	pthread_create(&thread, NULL, blocker, NULL);
	while (__atomic_load_n(&phase, __ATOMIC_SEQ_CST) == 0)
		usleep(1000);
	settle();
	CHECK(to(sub) == -EBUSY);
	CHECK(static_call_update(hook, NULL) == 0);
	notify(&count);
	CHECK(count == 0 && static_call_update(hook, tick) == 0);
	notify(&count);
	CHECK(count == 1);
	__atomic_store_n(&phase, 2, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
}

static void masked(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof action);
	action.sa_handler = on_signal;
	sigfillset(&action.sa_mask);
	sigaction(SIGTERM, &action, NULL);
	settle();
	CHECK(to(sub) == -EBUSY);
	sigdelset(&action.sa_mask, SIGTRAP);
	sigaction(SIGTERM, &action, NULL);
	CHECK(to(sub) == 0);
}

static void replaced(void)
{
	struct sigaction action, ours;

	memset(&action, 0, sizeof action);
	action.sa_handler = on_signal;
	sigaction(SIGTRAP, &action, &ours);
	CHECK(to(sub) == -EBUSY && call(7, 3) == 11);
	sigaction(SIGTRAP, &ours, NULL);
	CHECK(to(sub) == 0 && call(7, 3) == 5);
}

static void forked(void)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		_exit(to(sub) == 0 && call(7, 3) == 5 && to(add) == 0 && static_call_state(op) == STATIC_CALL_DIRECT ? 0 : 1);
	waitpid(child, &status, 0);
	CHECK(status == 0 && call(7, 3) == 11);
	CHECK(to(sub) == 0 && call(7, 3) == 5);
}

/* A child that runs no handler of libc keeps the descriptor of its parent's memory. */
static void cloned(void)
{
	int status = 0;
	long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (child == 0)
		_exit(to(sub) == 0 && call(7, 3) == 5 && static_call_state(op) == STATIC_CALL_DIRECT ? 0 : 1);
	waitpid((pid_t)child, &status, 0);
	CHECK(status == 0 && call(7, 3) == 11 && static_call_query(op) == add);
	CHECK(to(sub) == 0 && call(7, 3) == 5);
}

/* A daemon closes what it inherited, and opens a file of its own under the number. */
static void closed(void)
{
	char before[64], after[64] = "";
	char path[] = "/tmp/static-call-XXXXXX";
	int file, fd;

	CHECK(to(sub) == 0);
	for (fd = 3; fd < 64; fd++)
		close(fd);
	file = mkstemp(path);
	unlink(path);
	memset(before, 'x', sizeof before);
	CHECK(write(file, before, sizeof before) == sizeof before);
	CHECK(to(add) == 0 && call(7, 3) == 11);
	CHECK(pread(file, after, sizeof after, 0) == sizeof after && memcmp(before, after, sizeof before) == 0);
}

static int stop;
static long wrong, calls;
static void *caller(void *none)
{
	long mine = 0;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		int one = call(7, 3), two = tail(7, 3);

		if ((one != 11 && one != 5 && one != 1) || (two != 10 && two != 4 && two != 0))
			__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
		mine += 2;
	}
	__atomic_add_fetch(&calls, mine, __ATOMIC_RELAXED);
	return none;
}

static void *updater(void *count)
{
	int (*const funcs[])(int, int) = {add, sub, STATIC_CALL_RETURN0(op)};
	int i;

	for (i = 0; i < *(int *)count; i++)
		if (to(funcs[i % 3]) != 0)
			__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void threads(void)
{
	pthread_t callers[2], updaters[2];
	const char *told = getenv("UPDATES");
	int i, count = told ? atoi(told) : 300;

	for (i = 0; i < 2; i++)
		pthread_create(&callers[i], NULL, caller, NULL);
	for (i = 0; i < 2; i++)
		pthread_create(&updaters[i], NULL, updater, &count);
	for (i = 0; i < 2; i++)
		pthread_join(updaters[i], NULL);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		pthread_join(callers[i], NULL);
	CHECK(wrong == 0 && calls > 0);
	CHECK(static_call_state(op) == STATIC_CALL_DIRECT);
}

/* A signal handler runs on any thread, one that updates too. */
static volatile sig_atomic_t handled, deadlocks, strange;
static void on_alarm(int signal)
{
	int result = to(handled % 2 ? add : sub);

	(void)signal;
	handled++;
	if (result == -EDEADLK)
		deadlocks++;
	else if (result != 0)
		strange++;
}

static void signals(void)
{
	struct sigaction action;
	int i;

	memset(&action, 0, sizeof action);
	action.sa_handler = on_alarm;
	sigaction(SIGUSR1, &action, NULL);
	for (i = 0; i < 200; i++) {
		CHECK(to(i % 2 ? add : sub) == 0);
		raise(SIGUSR1);
	}
	CHECK(handled == 200 && strange == 0);
}

typedef int plugin_fn(int);
static void loaded(const char *path)
{
	int i;

	for (i = 0; i < 3; i++) {
		void *plugin = dlopen(path, RTLD_NOW);
		plugin_fn *run, *choose;

		if (!plugin)
			printf("%s\n", dlerror());
		CHECK(plugin);
		run = (plugin_fn *)dlsym(plugin, "plugin_run");
		choose = (plugin_fn *)dlsym(plugin, "plugin_choose");
		CHECK(run(5) == 6 && choose(1) == 0 && run(5) == 4 && choose(0) == 0 && run(5) == 6);
		CHECK(to(i % 2 ? add : sub) == 0 && call(7, 3) == (i % 2 ? 11 : 5));
		CHECK(dlclose(plugin) == 0);
		CHECK(to(i % 2 ? sub : add) == 0 && call(7, 3) == (i % 2 ? 5 : 11));
	}
}

/* The page of machine code, as hexadecimal digits. */
static void page(void)
{
	char line[512];
	unsigned long at, end;
	FILE *maps = fopen("/proc/self/maps", "r");

	while (fgets(line, sizeof line, maps))
		if (strstr(line, " r-xp ") && strstr(line, "/memfd:static-call ") &&
		    sscanf(line, "%lx-%lx", &at, &end) == 2)
			for (; at < end; at++)
				printf("%02x", *(unsigned char *)at);
	printf("\n");
	fclose(maps);
}

static const struct {
	const char *name;
	void (*run)(void);
} lives[] = {
	{"start", start},     {"update", update},     {"refused", refused}, {"batch", batch},
	{"foreign", foreign}, {"blocked", blocked},   {"masked", masked},   {"replaced", replaced},
	{"forked", forked},   {"closed", closed},     {"threads", threads}, {"signals", signals},
	{"unhurt", unhurt},   {"page", page},         {"cloned", cloned},
};

int main(int argc, char **argv)
{
	size_t i;

	if (argc > 2)
		loaded(argv[2]);
	for (i = 0; i < sizeof lives / sizeof *lives; i++)
		if (argc > 1 && strcmp(argv[1], lives[i].name) == 0)
			lives[i].run();
	return failed;
}
