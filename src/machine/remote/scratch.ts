// The memory that a tool has in a target while it is attached: mailbox, signal frame, stack, and what
// the scripts of a run read. It is anonymous memory, because a file would need a descriptor in the
// target for a moment. A mark at its begin tells whose it is, so that the next tool finds and removes
// what a killed one left.

import { statSync } from 'node:fs';
import { PAGE, type Addr } from '../../base/addr.js';
import type { Mapping } from '../linux/maps.js';
import { readProcOrNone } from '../linux/proc.js';
import { FRAME_ROOM, frameAtOrBelow } from './frame.js';
import type { Target } from './target.js';

/** "statscra", little-endian. */
const SCRATCH_MAGIC = 0x6172_6373_7461_7473n;
/** The mark, then which tool mapped it: process, its start, and the namespace of its number. */
export const OWNER = { magic: 0, pid: 8, started: 16, namespace: 24, size: 32 } as const;
/** Where places are looked for: far from where programs and the kernel put theirs. */
export const LOWEST_PLACE = 0x1000_0000_0000;

/** Scratches of tools, those that are attached and those that were killed. */
export function scratchesIn(target: Target, maps: readonly Mapping[]): Mapping[] {
  return maps.filter(
    ({ start, path, access }) =>
      start >= LOWEST_PLACE &&
      path === '' &&
      access === 'rw-p' &&
      target.word(start) === SCRATCH_MAGIC,
  );
}

/** What marks a scratch as this process's. */
export function ownMark(): Uint8Array {
  const owner = new BigUint64Array(OWNER.size / 8);
  owner[OWNER.magic / 8] = SCRATCH_MAGIC;
  owner[OWNER.pid / 8] = BigInt(process.pid);
  owner[OWNER.started / 8] = startedOf(process.pid);
  owner[OWNER.namespace / 8] = namespace();
  return new Uint8Array(owner.buffer);
}

/** Whether the tool that made a scratch has ended. One of another namespace cannot be asked for. */
export function isAbandoned(target: Target, { start }: Mapping): boolean {
  const words = new BigUint64Array(target.read(start, OWNER.size).buffer);
  const pid = Number(words[OWNER.pid / 8]);
  return (
    words[OWNER.namespace / 8] === namespace() &&
    pid !== process.pid &&
    startedOf(pid) !== words[OWNER.started / 8]
  );
}

const startedOf = (pid: number): bigint => {
  const stat = readProcOrNone(`/proc/${pid}/stat`);
  return BigInt(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? 0);
};
const namespace = (): bigint => BigInt(statSync('/proc/self/ns/pid').ino);

/** A multiple of what buffers begin at. */
const MAILBOX_ROOM = 256;
const STACK_ROOM = 8192;
export const SMALLEST_SCRATCH = 1 << 18;

export interface Scratch {
  readonly start: Addr;
  readonly end: Addr;
  readonly mailbox: Addr;
  readonly frame: Addr;
  /** Where buffers begin, behind the mailbox: one write fills both. */
  readonly buffers: Addr;
}

export function scratchAt(start: Addr, size: number): Scratch {
  const stack = start + PAGE;
  const mailbox = stack + STACK_ROOM + FRAME_ROOM;
  return {
    start,
    end: start + size,
    mailbox,
    frame: frameAtOrBelow(stack + STACK_ROOM),
    buffers: mailbox + MAILBOX_ROOM,
  };
}
