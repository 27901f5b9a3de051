// Uses the library as any program does, and looks at what its two functions call.

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

extern int dispatch_result;
extern const void *dispatch_chosen[2];
uint64_t dispatch_hash(const void *data, size_t size);
uint64_t dispatch_reference(const void *data, size_t size);
unsigned dispatch_count(uint64_t word);
int dispatch_states(void);

static int calls(const void *function, const void *target)
{
	const unsigned char *at = function;
	int i;

	for (i = 0; i < 32; i++) {
		int distance;

		memcpy(&distance, at + i + 1, 4);
		if ((at[i] == 0xe8 || at[i] == 0xe9) && at + i + 5 + distance == (const unsigned char *)target)
			return 1;
	}
	return 0;
}

int main(void)
{
	char text[] = "the callers call the chosen function";
	size_t size;

	for (size = 0; size <= sizeof text; size++)
		if (dispatch_hash(text, size) != dispatch_reference(text, size))
			return 1;
	printf("{\"result\": %d, \"direct\": %d, \"hash\": %d, \"count\": %d, \"bits\": %u}\n", dispatch_result,
	       dispatch_states(), calls((void *)dispatch_hash, dispatch_chosen[0]),
	       calls((void *)dispatch_count, dispatch_chosen[1]), dispatch_count(0xff00ff));
	return 0;
}
