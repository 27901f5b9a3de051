/*
 * What a program with static calls looks like: the hooks are defined at the top, called like functions in the middle,
 * and nothing in here knows how or when they are retargeted.
 *
 *   gcc -O2 -shared -fPIC -I"$(static-call include)" checksum.c -o libchecksum.so
 */
#define _GNU_SOURCE
#include "checksum.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <static_call.h>

enum { BLOCK = 1024, THREADS_MAX = 64, RING = 256 };
static const size_t BYTES_MAX = 64 << 20;

/* ---- Counters: one set for each thread, written by that thread alone, so none is ever lost ---------- */

enum counter {
	CHECKSUM, CRC_TABLE, CRC_SLICE8, CRC_HARDWARE,
	TRACE, TRACE_COUNT, TRACE_RING,
	FILTER, FILTER_THIRD, FILTER_NONE,
	BLOCKS, SKIPPED, WRONG,
	COUNTERS,
};

static const char *const counter_names[COUNTERS] = {
	"checksum", "crc_table", "crc_slice8", "crc_hardware",
	"trace", "trace_count", "trace_ring",
	"filter", "filter_third", "filter_none",
	"blocks", "skipped", "wrong",
};

struct worker {
	uint64_t count[COUNTERS];
	struct { uint64_t block; uint32_t sum; } ring[RING];
	uint64_t first; /* where in the file this thread begins */
	pthread_t thread;
} __attribute__((aligned(64)));

/* Another thread may be reading, so the store is one store; nobody else writes. */
static inline void add(struct worker *w, enum counter which)
{
	__atomic_store_n(&w->count[which], w->count[which] + 1, __ATOMIC_RELAXED);
}

/* ---- The file, its blocks, and the sums they ought to have --------------------------------------------- */

static uint8_t *bytes;
static size_t size;
static uint64_t blocks;
static uint32_t *known;

static size_t length_of(uint64_t block)
{
	size_t rest = size - block * BLOCK;

	return rest < BLOCK ? rest : BLOCK;
}

/* ---- CRC-32C (Castagnoli), three ways ------------------------------------------------------------------ */

static uint32_t table[8][256];

__attribute__((constructor)) static void make_tables(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78 : crc >> 1;
		table[0][i] = crc;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int slice = 1; slice < 8; slice++)
			table[slice][i] = (table[slice - 1][i] >> 8) ^ table[0][table[slice - 1][i] & 255];
}

static uint32_t by_byte(uint32_t crc, const uint8_t *p, size_t n)
{
	while (n--)
		crc = (crc >> 8) ^ table[0][(crc ^ *p++) & 255];
	return crc;
}

/* One table look-up for each byte. */
uint32_t crc_table(struct worker *w, const uint8_t *p, size_t n)
{
	add(w, CRC_TABLE);
	return ~by_byte(~0u, p, n);
}

/* Eight bytes a step: their look-ups do not wait for each other (Kounavis and Berry, 2005). */
uint32_t crc_slice8(struct worker *w, const uint8_t *p, size_t n)
{
	uint32_t crc = ~0u;

	add(w, CRC_SLICE8);
	for (; n >= 8; n -= 8, p += 8) {
		uint32_t low, high;

		memcpy(&low, p, 4);
		memcpy(&high, p + 4, 4);
		low ^= crc;
		crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^ table[4][low >> 24] ^
		      table[3][high & 255] ^ table[2][high >> 8 & 255] ^ table[1][high >> 16 & 255] ^ table[0][high >> 24];
	}
	return ~by_byte(crc, p, n);
}

/* The CPU's own instruction. */
__attribute__((target("sse4.2"))) uint32_t crc_hardware(struct worker *w, const uint8_t *p, size_t n)
{
	uint64_t crc = ~0u;

	add(w, CRC_HARDWARE);
	for (; n >= 8; n -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, 8);
		crc = __builtin_ia32_crc32di(crc, word);
	}
	while (n--)
		crc = __builtin_ia32_crc32qi((uint32_t)crc, *p++);
	return ~(uint32_t)crc;
}

DEFINE_STATIC_CALL(checksum, crc_table);
STATIC_CALL_TARGET(checksum, crc_slice8);
STATIC_CALL_TARGET(checksum, crc_hardware);

/* ---- Trace: told of every block and its sum ------------------------------------------------------------ */

void trace_count(struct worker *w, uint64_t block, uint32_t sum)
{
	add(w, TRACE_COUNT);
	if (block < blocks && sum != known[block])
		add(w, WRONG);
}

void trace_ring(struct worker *w, uint64_t block, uint32_t sum)
{
	uint64_t slot = w->count[TRACE_RING] % RING;

	add(w, TRACE_RING);
	w->ring[slot].block = block;
	w->ring[slot].sum = sum;
	if (block < blocks && sum != known[block])
		add(w, WRONG);
}

DEFINE_STATIC_CALL_NULL(trace, trace_count);
STATIC_CALL_TARGET(trace, trace_count);
STATIC_CALL_TARGET(trace, trace_ring);

/* ---- Filter: nonzero leaves the block out -------------------------------------------------------------- */

enum { KEEP = 0, SKIP = 0x5c1b }; /* no value that a register holds by chance */

int filter_third(struct worker *w, uint64_t block)
{
	add(w, FILTER_THIRD);
	return block % 3 == 0 ? SKIP : KEEP;
}

int filter_none(struct worker *w, uint64_t block)
{
	(void)block;
	add(w, FILTER_NONE);
	return KEEP;
}

DEFINE_STATIC_CALL_RET0(filter, filter_none);
STATIC_CALL_TARGET(filter, filter_third);
STATIC_CALL_TARGET(filter, filter_none);

/* ---- The pipeline. Each key is called from several places, in some of them as the last thing done ------- */

/* A tail call: compiled as a jump. */
static __attribute__((noinline)) uint32_t sum_whole(struct worker *w, uint64_t block)
{
	add(w, CHECKSUM);
	return static_call(checksum)(w, bytes + block * BLOCK, BLOCK);
}

/* The last block of most files. */
static __attribute__((noinline, cold)) uint32_t sum_rest(struct worker *w, uint64_t block)
{
	uint32_t sum;

	add(w, CHECKSUM);
	sum = static_call(checksum)(w, bytes + block * BLOCK, length_of(block));
	add(w, TRACE);
	static_call_cond(trace)(w, block, sum);
	return sum;
}

static __attribute__((noinline)) int decide(struct worker *w, uint64_t block)
{
	add(w, FILTER);
	return static_call(filter)(w, block);
}

static __attribute__((noinline)) void tell(struct worker *w, uint64_t block, uint32_t sum)
{
	add(w, TRACE);
	static_call_cond(trace)(w, block, sum);
}

static void pass(struct worker *w, uint64_t block)
{
	int verdict;
	uint32_t sum;

	if (block & 1) {
		verdict = decide(w, block);
	} else {
		add(w, FILTER);
		verdict = static_call(filter)(w, block);
	}
	if (verdict == SKIP && block % 3 == 0) {
		add(w, SKIPPED);
		return;
	}
	if (verdict != KEEP)
		add(w, WRONG);

	if (length_of(block) < BLOCK) {
		sum = sum_rest(w, block);
	} else if (block & 2) {
		sum = sum_whole(w, block);
		tell(w, block, sum);
	} else {
		add(w, CHECKSUM);
		sum = static_call(checksum)(w, bytes + block * BLOCK, BLOCK);
		add(w, TRACE);
		static_call_cond(trace)(w, block, sum);
	}
	add(w, BLOCKS);
	if (sum != known[block])
		add(w, WRONG);
}

/* ---- Life ---------------------------------------------------------------------------------------------- */

static struct worker workers[THREADS_MAX];
static int running; /* threads */
static bool stopping;

static void *work(void *argument)
{
	struct worker *w = argument;

	for (uint64_t block = w->first; !__atomic_load_n(&stopping, __ATOMIC_RELAXED); block = (block + 1) % blocks)
		pass(w, block);
	return NULL;
}

static int load(const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct stat status;
	ssize_t got;
	int error = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) < 0)
		error = -errno;
	else if (status.st_size <= 0)
		error = -EINVAL;
	if (error) {
		close(fd);
		return error;
	}
	size = (uint64_t)status.st_size < BYTES_MAX ? (size_t)status.st_size : BYTES_MAX;
	blocks = (size + BLOCK - 1) / BLOCK;
	bytes = malloc(size);
	known = malloc(blocks * sizeof(*known));
	if (!bytes || !known)
		error = -ENOMEM;
	for (size_t have = 0; !error && have < size; have += (size_t)got) {
		got = read(fd, bytes + have, size - have);
		if (got < 0)
			error = -errno;
		else if (got == 0)
			error = -EIO; /* it became shorter */
	}
	close(fd);
	for (uint64_t block = 0; !error && block < blocks; block++)
		known[block] = ~by_byte(~0u, bytes + block * BLOCK, length_of(block));
	return error;
}

static void unload(void)
{
	free(bytes);
	free(known);
	bytes = NULL;
	known = NULL;
	blocks = 0;
}

int checksum_start(int threads, const char *file)
{
	int error;

	if (running)
		return -EBUSY;
	if (threads < 1 || threads > THREADS_MAX)
		return -EINVAL;
	memset(workers, 0, sizeof(workers));
	error = load(file);
	stopping = false;
	for (int i = 0; !error && i < threads; i++) {
		workers[i].first = blocks * (uint64_t)i / (uint64_t)threads;
		error = -pthread_create(&workers[i].thread, NULL, work, &workers[i]);
		if (!error)
			running++;
	}
	if (!error)
		return 0;
	if (running)
		checksum_stop();
	else
		unload();
	return error;
}

int checksum_stop(void)
{
	if (!running)
		return -ESRCH;
	__atomic_store_n(&stopping, true, __ATOMIC_RELAXED);
	while (running)
		pthread_join(workers[--running].thread, NULL);
	unload();
	return 0;
}

int64_t checksum_count(const char *name)
{
	for (int which = 0; which < COUNTERS; which++) {
		uint64_t sum = 0;

		if (strcmp(name, counter_names[which]) != 0)
			continue;
		for (int i = 0; i < THREADS_MAX; i++)
			sum += __atomic_load_n(&workers[i].count[which], __ATOMIC_RELAXED);
		return (int64_t)sum;
	}
	return -1;
}

int checksum_can(const char *target)
{
	if (strcmp(target, "crc_hardware") == 0) {
		__builtin_cpu_init();
		return __builtin_cpu_supports("sse4.2") ? 1 : 0;
	}
	for (int which = 0; which < BLOCKS; which++)
		if (strcmp(target, counter_names[which]) == 0)
			return which != CHECKSUM && which != TRACE && which != FILTER ? 1 : -1;
	return -1;
}

/* ---- The cost of a call -------------------------------------------------------------------------------- */

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The empty assembly keeps the compiler from dropping or unrolling the loop. */
#define BEST_OF_ROUNDS(call)                                                                                    \
	({                                                                                                      \
		enum { ROUNDS = 8, CALLS = 1 << 19 };                                                           \
		double best = 1e18;                                                                             \
		for (int round = 0; round < ROUNDS; round++) {                                                  \
			double begin = now_ns(), each;                                                          \
			for (int i = 0; i < CALLS; i++) {                                                       \
				__asm__ volatile("" : : : "memory");                                            \
				call;                                                                           \
			}                                                                                       \
			each = (now_ns() - begin) / CALLS;                                                      \
			best = each < best ? each : best;                                                       \
		}                                                                                               \
		best;                                                                                           \
	})

double checksum_call_ns(const char *key)
{
	static struct worker nobody; /* its counters are not in any sum */
	const uint64_t no_block = UINT64_MAX;

	if (strcmp(key, "loop") == 0)
		return BEST_OF_ROUNDS((void)0);
	if (strcmp(key, "checksum") == 0)
		return BEST_OF_ROUNDS((void)static_call(checksum)(&nobody, NULL, 0));
	if (strcmp(key, "trace") == 0)
		return BEST_OF_ROUNDS(static_call_cond(trace)(&nobody, no_block, 0));
	if (strcmp(key, "filter") == 0)
		return BEST_OF_ROUNDS((void)static_call(filter)(&nobody, no_block));
	return -1;
}
