// The example as a program of its own that nobody retargets: what it counts must be exact before a
// soak can rely on it.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const room = mkdtempSync(join(tmpdir(), 'checksum-'));
afterAll(() => rmSync(room, { recursive: true, force: true }));
const program = join(room, 'drive');

const DRIVER = `
#include "checksum.c"
#include <dirent.h>
#include <stdio.h>

static int threads(void)
{
	int n = 0;
	DIR *tasks = opendir("/proc/self/task");
	for (struct dirent *d; (d = readdir(tasks));)
		n += d->d_name[0] != '.';
	closedir(tasks);
	return n;
}

int main(int argc, char **argv)
{
	static struct worker w;
	const uint8_t *nine = (const uint8_t *)"123456789";
	const char *names[] = {"checksum", "crc_table", "crc_slice8", "crc_hardware", "trace", "trace_count", "trace_ring",
			       "filter", "filter_third", "filter_none", "blocks", "skipped", "wrong"};

	(void)argc;
	printf("{\\"sums\\": [%u, %u, %u],", crc_table(&w, nine, 9), crc_slice8(&w, nine, 9),
	       checksum_can("crc_hardware") ? crc_hardware(&w, nine, 9) : crc_table(&w, nine, 9));
	/* One statement each: the order of arguments is nobody's. */
	printf("\\"refused\\": [%d,", checksum_stop());
	printf("%d,", checksum_start(1, "/nowhere"));
	printf("%d,", checksum_start(1, "/dev/null"));
	printf("%d],", checksum_start(0, argv[1]));
	printf("\\"can\\": [%d, %d, %d, %d],", checksum_can("crc_table"), checksum_can("trace_ring"), checksum_can("checksum"), checksum_can("nothing"));
	printf("\\"start\\": [%d,", checksum_start(3, argv[1]));
	printf("%d],", checksum_start(3, argv[1]));
	while (checksum_count("blocks") < 50000)
		usleep(1000);
	printf("\\"running\\": %d,", threads());
	printf("\\"ns\\": [%d, %d, %d, %d, %d],", checksum_call_ns("loop") > 0, checksum_call_ns("checksum") > 0, checksum_call_ns("trace") > 0, checksum_call_ns("filter") > 0, checksum_call_ns("nothing") > 0);
	printf("\\"stop\\": [%d,", checksum_stop());
	printf("%d],", checksum_stop());
	printf("\\"left\\": %d,", threads());
	for (int i = 0; i < 13; i++)
		printf("\\"%s\\": %ld,", names[i], (long)checksum_count(names[i]));
	/* Again, on another file: counters begin at 0. */
	checksum_start(1, argv[2]);
	while (checksum_count("blocks") < 10)
		usleep(100);
	checksum_stop();
	printf("\\"again\\": [%d, %ld], \\"unknown\\": %ld}\\n", checksum_count("blocks") < 50000000, (long)checksum_count("wrong"), (long)checksum_count("nothing"));
	return 0;
}
`;

beforeAll(() => {
  const source = join(room, 'drive.c');
  writeFileSync(source, DRIVER);
  execFileSync('gcc', [
    '-O2',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-Iexamples/checksum',
    '-Iinclude',
    source,
    '-o',
    program,
    '-lpthread',
  ]);
});

describe('the checksum example', () => {
  it('counts every call, sums every block right, and leaves no thread behind', () => {
    const short = join(room, 'short');
    // Not a multiple of a block: the last one goes another way.
    writeFileSync(short, Buffer.alloc(5000, 'static call '));
    const said = JSON.parse(
      execFileSync(program, [process.execPath, short], { encoding: 'utf8', timeout: 60_000 }),
    ) as Record<string, number & number[]>;
    // The check value of CRC-32C.
    expect(said['sums']).toEqual([0xe3069283, 0xe3069283, 0xe3069283]);
    const [ESRCH, ENOENT, EINVAL, EBUSY] = [-3, -2, -22, -16];
    expect(said['refused']).toEqual([ESRCH, ENOENT, EINVAL, EINVAL]);
    expect(said['can']).toEqual([1, 1, -1, -1]);
    expect(said['start']).toEqual([0, EBUSY]);
    expect(said['stop']).toEqual([0, ESRCH]);
    expect(said['running']).toBe(4);
    expect(said['ns']).toEqual([1, 1, 1, 1, 0]);
    expect(said['left']).toBe(1);
    expect(said['checksum']).toBeGreaterThanOrEqual(50_000);
    expect(said['crc_table']).toBe(said['checksum']);
    expect([said['trace'], said['filter'], said['blocks']]).toEqual([
      said['checksum'],
      said['checksum'],
      said['checksum'],
    ]);
    for (const name of [
      'crc_slice8',
      'crc_hardware',
      'trace_count',
      'trace_ring',
      'filter_third',
      'filter_none',
      'skipped',
      'wrong',
    ])
      expect(said[name], name).toBe(0);
    expect(said['again']).toEqual([1, 0]);
    expect(said['unknown']).toBe(-1);
  });
});
