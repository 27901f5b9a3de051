// A guest that crashes: /proc/vmcore as the kernel that runs then copies it to a disk, and what
// makedumpfile makes of that.

import { readFileSync, rmSync, truncateSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LiveFacts } from '#inspect/live/facts';
import { Folder } from '../build.js';
import { Guest, initramfs, LATE } from '../../examples/kernel/guest.mjs';
import { KERNELS, makedumpfile, programOf, read, same, unbooted, unmade } from './live/guests.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());
const crash = unbooted === null ? programOf(folder, 'crash') : null;
const reason = unbooted ?? (crash ? null : 'gcc with a static libc is not installed');

const CAPTURE = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
size=$(stat -c %s /proc/vmcore)
dd if=/proc/vmcore of=/dev/nvme0n1 bs=1M 2> /dev/null
sync
echo "copied $size bytes" > /dev/ttyS0
sleep 100000
`;
const MEGABYTES = 448;
const RESERVED = 160;

/** Debian builds makedumpfile without snappy and zstd, and then -p and -z do nothing. */
const PACKINGS = ['-c', '-l', '-c -d 31', '-l -F', '-E'];

describe.skipIf(reason !== null)(
  `a kernel that crashed${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    const [{ kernel = '', modules } = { modules: [] }] = KERNELS;
    let guest: Guest;
    let vmcore: string;
    let before: LiveFacts;
    beforeAll(async () => {
      const files = [
        { name: 'bin/crash', mode: 0o100755, bytes: crash ?? '' },
        { name: 'kernel', mode: 0o100644, bytes: readFileSync(kernel) },
        { name: 'capture', mode: 0o100644, bytes: initramfs({ init: CAPTURE }) },
      ];
      const append = `crashkernel=${RESERVED}M`;
      guest = await Guest.boot({
        kernel,
        modules,
        files,
        append,
        megabytes: MEGABYTES,
        disk: true,
      });
      vmcore = guest.disk;
      await guest.run('echo 1 > /sys/kernel/tracing/events/kmem/kmalloc/enable');
      before = read(await guest.dump(guest.file('before')));
      rmSync(guest.file('before'));
      const options = `console=ttyS0 quiet panic=-1 nr_cpus=1 reset_devices ${LATE}`;
      await guest.run(`crash /kernel /capture '${options}'`);
      const [, size] = await guest.leave('echo c > /proc/sysrq-trigger', /copied (\d+) bytes/);
      truncateSync(vmcore, Number(size));
    });
    afterAll(() => guest?.close());

    test('/proc/vmcore says what the memory said before', () => {
      expect(same(read(vmcore))).toEqual(same(before));
    });
    test.skipIf(unmade !== null).each(PACKINGS)(
      `so does what makedumpfile %s makes of it${unmade === null ? '' : ` (skipped: ${unmade})`}`,
      (flags) => {
        const out = guest.file('made');
        rmSync(out, { force: true });
        makedumpfile(flags, vmcore, out);
        expect(same(read(out))).toEqual(same(before));
      },
    );
  },
);
