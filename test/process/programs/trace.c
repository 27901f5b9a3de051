/* Keys whose calls are counted, by the program too: each target counts, and looks at what came. */
#include <pthread.h>
#include <stdarg.h>
#include <static_call.h>
#include <static_key.h>

static _Atomic long counted, wrong;
static _Atomic int stopping;

struct pair { double a, b, c; };

/* Six arguments in registers, two in vector registers, and the rest on the stack. */
struct pair wide(int a, int b, int c, int d, int e, int f, int g, struct pair p, double x, double y)
{
	counted++;
	if (b != a + 1 || c != a + 2 || d != a + 3 || e != a + 4 || f != a + 5 || g != a + 6)
		wrong++;
	if (p.a != a || p.c != g || x != a + 0.5 || y != a + 0.25)
		wrong++;
	return (struct pair){ x, y, g };
}
/* AL says how many vector registers are used. */
int vary(int count, ...)
{
	va_list list;
	counted++;
	va_start(list, count);
	double sum = 0;
	for (int i = 0; i < count; i++)
		sum += va_arg(list, double);
	va_end(list);
	return (int)sum;
}
void told(int a) { counted++; (void)a; }
int one(int a) { counted++; return a + 1; }
int two(int a) { counted++; return a + 2; }

DEFINE_STATIC_CALL(wide_key, wide);
DEFINE_STATIC_CALL(vary_key, vary);
DEFINE_STATIC_CALL_NULL(tell, told);
STATIC_CALL_TARGET(tell, told);
DEFINE_STATIC_CALL(step, one);
STATIC_CALL_TARGET(step, two);
STATIC_CALL_TARGET_RET0(step);
DEFINE_STATIC_KEY_FALSE(verbose);

static void pass(int i)
{
	struct pair p = { i, 0, i + 6 };
	struct pair r = static_call(wide_key)(i, i + 1, i + 2, i + 3, i + 4, i + 5, i + 6, p, i + 0.5, i + 0.25);
	if (r.a != i + 0.5 || r.b != i + 0.25 || r.c != i + 6)
		wrong++;
	if (static_call(vary_key)(9, 1., 2., 3., 4., 5., 6., 7., 8., 9.) != 45)
		wrong++;
	static_call_cond(tell)(i);
	int s = static_call(step)(i);
	if (s != i + 1 && s != i + 2 && s != 0)
		wrong++;
	if (static_branch_unlikely(&verbose))
		wrong++;
}

static void *passes(void *count)
{
	for (long i = 0; i < (long)count; i++)
		pass((int)i);
	return 0;
}
static void *forever(void *unused)
{
	while (!stopping)
		pass(1);
	return unused;
}

static pthread_t threads[3];
/* Three threads, each so many passes. */
void run(long count)
{
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], 0, passes, (void *)count);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], 0);
}
void start(void)
{
	stopping = 0;
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], 0, forever, 0);
}
void stop(void)
{
	stopping = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], 0);
}
long told_so_far(void) { return counted; }
long went_wrong(void) { return wrong; }
int step_once(int a) { return static_call(step)(a); }
long step_at(void) { return (long)static_call_query(step); }
int is_null(void) { return static_call_query(tell) == 0; }
