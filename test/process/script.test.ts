import { expect, it, describe } from 'vitest';
import { answer, child } from './child.js';

interface Stopped {
  operation: number;
  mark: number;
  told: object;
  after: number[];
  rest: null;
  done: number;
}
interface Said {
  many: { stop: unknown; last: number };
  copies: number[];
  kernel: { operation: number; mark: number; what: object }[];
  order: string[];
  stops: Record<'store' | 'system' | 'expect', Stopped>;
  sites: number[][];
  lock: { own: number } & Record<'taken' | 'again' | 'given' | 'woken', Locked>;
  file: null;
  read: boolean;
  refused: object;
  kept: number;
}
interface Locked {
  what: object | null;
  calls: string[];
  lock: number;
}

describe.skipIf(process.platform !== 'linux' || process.arch !== 'x64')('a script', () => {
  const said = answer<Said>(child('script.mjs', []));

  it('performs its operations in their order, however many they are', () => {
    expect(said.many).toEqual({ stop: null, last: 999 });
  });
  it('copies every length and no byte beside it', () => {
    expect(said.copies).toEqual([]);
  });
  it('makes system calls as the kernel answers them, by itself or through a function of ours', () => {
    const EBADF = { operation: 1, mark: 8, what: { call: 'close', result: -9 } };
    expect(said.kernel).toEqual([EBADF, EBADF]);
    expect(said.order.slice(0, 2)).toEqual(['gettid', 'close']);
  });
  it.each([
    ['store', { edit: 1 }],
    ['system', { call: 'futex', result: -11 }],
    ['expect', { expected: 12345 }],
  ] as const)(
    'stops at a %s that fails, says which and why, does nothing behind it, and goes on from there',
    (kind, told) => {
      expect(said.stops[kind]).toEqual({
        operation: 1,
        mark: 2,
        told,
        after: [1, 0],
        rest: null,
        done: 1,
      });
    },
  );
  it('takes the update lock for its own thread, and stops where a thread has it', () => {
    const { own, taken, again } = said.lock;
    expect(taken).toEqual({ what: null, calls: ['gettid'], lock: own });
    expect(again).toEqual({ what: { call: 'gettid', result: own }, calls: ['gettid'], lock: own });
  });
  it('gives the lock back, with a system call only where a thread waits for it', () => {
    expect(said.lock.given).toEqual({ what: null, calls: [], lock: 0 });
    expect(said.lock.woken).toEqual({ what: null, calls: ['futex'], lock: 0 });
  });
  it('uses a descriptor that an earlier operation obtained, and stops where none was', () => {
    expect(said.file).toBeNull();
    expect(said.read).toBe(true);
    expect(said.refused).toEqual({ call: 'open', result: expect.any(Number) });
    expect(said.kept).toBeLessThan(0);
  });
  it('has stored the edits before the one that stopped it, and has not touched that one', () => {
    expect(said.sites).toEqual([
      [0x90, 2, 2, 2, 2],
      [0xcc, 1, 1, 1, 1],
    ]);
  });
});
