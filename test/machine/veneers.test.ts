import { expect, it } from 'vitest';
import { readMaps } from '#machine/linux/maps';
import type { Native } from '#machine/linux/native';
import { REACH, Veneers } from '#machine/process/veneers';

// A place is looked for beside what is mapped, as a text is.
const START = readMaps()[0]!.start;
const END = START + 0x10_0000;

/** A process that maps whatever it is asked for and writes down in which order. */
function recorded(): { native: Native; calls: string[] } {
  const calls: string[] = [];
  const native = {
    call(name: string, ...args: readonly number[]) {
      calls.push(name);
      if (name === 'mmap') return args[0] === 0 ? 0x7000_0000_0000 : args[0]!;
      return name === 'mremap' ? args[4]! : 0;
    },
    view: (_: number, length: number) => new ArrayBuffer(length),
  } as unknown as Native;
  return { native, calls };
}

it('a target is in reach where it is so from both ends of the text', () => {
  const veneers = new Veneers(recorded().native, START, END);
  for (const target of [START, END, START + REACH, END - REACH])
    expect(veneers.reaches(target), String(target)).toBe(true);
  for (const target of [END + REACH - 1, START - REACH + 1, START + REACH + 1, END - REACH - 1])
    expect(veneers.reaches(target), String(target)).toBe(false);
});

it('a veneer is written before it is executable, and is synchronised before it is used', () => {
  const { native, calls } = recorded();
  const veneers = new Veneers(native, START, END);
  const far = START + 2 ** 33;
  expect(veneers.way(far)).not.toBe(far);
  expect(calls).toEqual(['mmap', 'mmap', 'mprotect', 'mremap', 'membarrier']);
  veneers.way(far + 64);
  expect(calls.slice(5)).toEqual(['mmap', 'mprotect', 'mremap', 'membarrier']);
  veneers.way(far);
  expect(calls).toHaveLength(9);
});
