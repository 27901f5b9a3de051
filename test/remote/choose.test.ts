import { describe, expect, it } from 'vitest';
import { SYS } from '#base/linux';
import { findWayIn } from '#machine/remote/borrow';
import { candidates, ANY, CLEAN } from '#machine/remote/choose';
import { REGISTER } from '#machine/remote/door';
import { frameOf, resumption } from '#machine/remote/frame';
import { notYours, type Target, type ThreadLook } from '#machine/remote/target';

const asleep = (id: number, call: number, ...args: readonly number[]): ThreadLook => ({
  id,
  state: 'S',
  sleepsIn: { call, args: [0, 1, 2, 3, 4, 5].map((i) => BigInt(args[i] ?? 0)), stack: 4096 },
});

describe('the thread that is borrowed', () => {
  const runs: ThreadLook = { id: 1, state: 'R', sleepsIn: null };
  const endless = asleep(2, SYS.futex);
  const timed = asleep(3, SYS.nanosleep);
  const never = asleep(4, SYS.epoll_wait, 3, 0, 1, 20);
  const ids = (threads: readonly ThreadLook[], worst: number): number[] =>
    candidates(threads, worst).map(({ id }) => id);

  it('is one that notices nothing; one with a duration last; never one that would fail', () => {
    expect(ids([timed, runs, never, endless], ANY)).toEqual([2, 1, 3]);
    expect(ids([timed, runs, never, endless], CLEAN)).toEqual([2, 1]);
  });
  it('is never one that cannot be stopped, is stopped, or has ended', () => {
    for (const state of ['D', 'T', 't', 'Z'])
      expect(ids([{ id: 1, state, sleepsIn: null }], ANY)).toEqual([]);
  });
});

describe('the way back of a borrowed thread', () => {
  const registers = (rax: number, call: number, r10 = 0): BigUint64Array => {
    const all = new BigUint64Array(27);
    all[REGISTER.rip] = 1002n;
    all[REGISTER.rax] = BigInt.asUintN(64, BigInt(rax));
    all[REGISTER.originalRax] = BigInt.asUintN(64, BigInt(call));
    all[REGISTER.r10] = BigInt.asUintN(64, BigInt(r10));
    return all;
  };
  it.each([
    [
      'a call that the kernel begins again',
      registers(-512, SYS.read),
      1000n,
      BigInt(SYS.read),
      true,
    ],
    ['epoll_wait without a limit', registers(-4, SYS.epoll_wait, -1), 1000n, 232n, true],
    ['a call with a duration', registers(-516, SYS.nanosleep), 1002n, 2n ** 64n - 4n, false],
    ['code outside of a call', registers(7, -1), 1002n, 7n, true],
  ] as const)('%s', (_, state, rip, rax, clean) => {
    expect(resumption(state)).toEqual({ rip, rax, clean });
  });
  it('says nothing of the alternate stack, and frames the extended state', () => {
    const extended = new Uint8Array(2696);
    const frame = frameOf({ registers: registers(7, -1), extended, mask: 5n }, 64 * 100 - 8, 9);
    const view = new DataView(frame.buffer);
    expect(view.getUint32(8 + 24, true)).toBe(0x40);
    expect(view.getBigUint64(8 + 296, true)).toBe(5n);
    const state = Number(view.getBigUint64(8 + 224, true));
    expect(state).toBe(64 * 100 + 512);
    expect(view.getUint32(frame.length - 4, true)).toBe(0x46505845);
  });
});

it('a program without the instructions that are needed has no way in', () => {
  const target = { pid: 7, read: (_: number, length: number) => new Uint8Array(length) };
  const maps = [{ start: 4096, end: 8192, access: 'r-xp', offset: 0, inode: 1, path: '/x' }];
  expect(() => findWayIn(target as unknown as Target, maps)).toThrow(
    expect.objectContaining({ code: 'no-way-in' }),
  );
});

it("Yama's refusal is told apart from another user's", () => {
  const own = process.geteuid?.() ?? 0;
  expect(notYours(7, own, '1')).toMatchObject({ code: 'ptrace-scope' });
  expect(notYours(7, own + 1, '1')).toMatchObject({ code: 'not-yours' });
});
