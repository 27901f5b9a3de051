// Packers for the tests: the programs that the kernel's own build runs (scripts/Makefile.lib). Null
// where a machine lacks one.

import { spawnSync } from 'node:child_process';

const by =
  (program, ...args) =>
  (plain, ...more) => {
    const done = spawnSync(program, [...args, ...more], { input: plain, maxBuffer: 1 << 28 });
    return done.status === 0 ? done.stdout : null;
  };

export const bzip2 = by('bzip2', '-9');
export const lz4 = by('lz4', '-l', '-9');
export const lzma = by('xz', '--format=lzma', '-6');
export const xz = by('xz', '--check=crc32', '--x86', '--lzma2=dict=1MiB');
export const zstd = by('zstd', '-19');
