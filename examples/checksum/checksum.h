/*
 * A pipeline that checksums a file over and over, on threads of its own, with three hooks that can be
 * retargeted while it runs:
 *
 *   checksum   how a block is summed           crc_table at first; crc_slice8, crc_hardware
 *   trace      told of every block summed      empty at first; trace_count, trace_ring
 *   filter     nonzero: leave the block out    returns 0 at first; filter_third, filter_none
 *
 * All three ways to sum compute one checksum, CRC-32C, and every block's sum is compared with the known one, so
 * a call that went astray shows: as a wrong sum, or as a call that no target received.
 *
 * Life: checksum_start() ... checksum_stop(), as often as you like. These functions are for one caller at a time.
 */
#ifndef CHECKSUM_H
#define CHECKSUM_H

#include <stdint.h>

/*
 * Reads at most the first 64 MiB of `file`, cuts them into blocks of 1 KiB, and starts `threads` (1 to 64)
 * threads that go round them until checksum_stop(). Counters begin at 0.
 * Returns 0 or a negative errno: -EBUSY while it is running, -EINVAL for a file without bytes.
 */
int checksum_start(int threads, const char *file);

/* Returns when every thread has ended. Counters keep their last values. 0, or -ESRCH if it was not running. */
int checksum_stop(void);

/*
 * A counter by name, over all threads; exact after checksum_stop(), and at most a few calls behind before.
 *
 *   "checksum" "trace" "filter"                        calls that the sites of that key made
 *   "crc_table" "crc_slice8" "crc_hardware"            calls that each target received: those of a key add
 *   "trace_count" "trace_ring"                         up to its calls, less the calls made while it was
 *   "filter_third" "filter_none"                       empty or returned 0, which nobody receives
 *   "blocks" "skipped"                                 blocks summed, blocks left out by the filter
 *   "wrong"                                            wrong sums, wrong filter results, wrong trace arguments
 *
 * -1 for any other name.
 */
int64_t checksum_count(const char *name);

/* 1 if this CPU can run a target, 0 if not, -1 for an unknown name. Only crc_hardware (SSE4.2) asks for anything. */
int checksum_can(const char *target);

/*
 * Nanoseconds for one call of a key ("checksum" with an empty block, "trace", "filter") as its sites stand now, in a
 * tight loop, the loop included; "loop" for the loop alone. The best of several rounds, some 20 ms in all. Counters are not
 * touched, so it may run at any time. Negative for an unknown name.
 */
double checksum_call_ns(const char *key);

#endif
