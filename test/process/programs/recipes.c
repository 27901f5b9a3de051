/* What docs/adopting.md shows, as a project would have it. */
#include <static_call.h>
#include <static_key.h>

static int traces;
static int sum_c(const unsigned char *p, int n)
{
	int sum = 0;

	for (int i = 0; i < n; i++)
		sum += p[i];
	return sum;
}
static int sum_wide(const unsigned char *p, int n) { return 1000 + sum_c(p, n); }
struct functable {
	int (*sum)(const unsigned char *, int);
};
static struct functable functable = {sum_c};

/* A table of functions, chosen when the library loads: the table stays, for programs without a runtime. */
static int sum_table(const unsigned char *p, int n) { return functable.sum(p, n); }

DEFINE_STATIC_CALL(sum, sum_table);
STATIC_CALL_TARGET(sum, sum_c);
STATIC_CALL_TARGET(sum, sum_wide);

int checksum(const unsigned char *p, int n) { return static_call(sum)(p, n); }

void choose(void)
{
	functable.sum = sum_wide;
	static_call_update(sum, sum_wide);
}

/* A switch that costs nothing while it is off. */
DEFINE_STATIC_KEY_FALSE(tracing);

int step(int a)
{
	if (static_branch_unlikely(&tracing))
		traces += a;
	return a + 1;
}

int traced(void) { return traces; }
