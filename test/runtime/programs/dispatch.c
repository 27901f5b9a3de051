// A library that chooses its implementations by the CPU when it is loaded, as zlib-ng's functable, xxHash's dispatcher
// and every codec do. Without a static call each of its functions is a pointer that every caller loads; here the
// callers call the chosen function.

#include <static_call.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_START 0x9e3779b97f4a7c15u

static uint64_t mix(uint64_t state, uint64_t word)
{
	state = (state ^ word) * 0xff51afd7ed558ccdu;
	return state ^ (state >> 32);
}

static uint64_t hash_plain(const void *data, size_t size)
{
	const unsigned char *bytes = data;
	uint64_t state = HASH_START ^ size;
	size_t i, b;

	for (i = 0; i < size; i += 8) {
		uint64_t word = 0;

		for (b = 0; b < 8 && i + b < size; b++)
			word |= (uint64_t)bytes[i + b] << (8 * b);
		state = mix(state, word);
	}
	return state;
}

/* The same answer, eight bytes at a load. */
static uint64_t hash_words(const void *data, size_t size)
{
	const unsigned char *bytes = data;
	uint64_t state = HASH_START ^ size, word;
	size_t i;

	for (i = 0; i + 8 <= size; i += 8) {
		__builtin_memcpy(&word, bytes + i, 8);
		state = mix(state, word);
	}
	word = 0;
	__builtin_memcpy(&word, bytes + i, size - i);
	return size > i ? mix(state, word) : state;
}

static unsigned count_plain(uint64_t word)
{
	unsigned count = 0;

	for (; word; word &= word - 1)
		count++;
	return count;
}

__attribute__((target("popcnt"))) static unsigned count_popcnt(uint64_t word)
{
	return (unsigned)__builtin_popcountll(word);
}

DEFINE_STATIC_CALL(hash, hash_plain);
STATIC_CALL_TARGET(hash, hash_words);
DEFINE_STATIC_CALL(count, count_plain);
STATIC_CALL_TARGET(count, count_popcnt);

int dispatch_result = -1;
const void *dispatch_chosen[2] = {(const void *)hash_plain, (const void *)count_plain};

/* At load: the runtime's own constructor has run by then, because it has a lower priority number. */
__attribute__((constructor)) static void choose(void)
{
	struct static_call_change best[2] = {STATIC_CALL_CHANGE(hash, hash_words),
					     STATIC_CALL_CHANGE(count, count_popcnt)};

	__builtin_cpu_init();
	if (!__builtin_cpu_supports("popcnt"))
		best[1] = STATIC_CALL_CHANGE(count, count_plain);
	dispatch_result = static_call_update_batch(best, 2);
	dispatch_chosen[0] = best[0].func;
	dispatch_chosen[1] = best[1].func;
}

uint64_t dispatch_hash(const void *data, size_t size) { return static_call(hash)(data, size); }
unsigned dispatch_count(uint64_t word) { return static_call(count)(word); }
uint64_t dispatch_reference(const void *data, size_t size) { return hash_plain(data, size); }
int dispatch_states(void) { return static_call_state(hash) == STATIC_CALL_DIRECT && static_call_state(count) == STATIC_CALL_DIRECT; }
