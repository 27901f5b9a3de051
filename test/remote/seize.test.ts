import { describe, expect, it } from 'vitest';
import { SYS } from '#base/linux';
import { REGISTER, type Door, type Stop } from '#machine/remote/door';
import { Seizer } from '#machine/remote/seize';
import type { Target, ThreadLook } from '#machine/remote/target';

const THREAD = 7;
const asleep = (call: number, ...args: readonly number[]): ThreadLook => ({
  id: THREAD,
  state: 'S',
  sleepsIn: { call, args: [0, 1, 2, 3, 4, 5].map((i) => BigInt(args[i] ?? 0)), stack: 4096 },
});
const PAUSED = asleep(SYS.pause);
const [CODE, SCRATCH] = [1000, 2000];
const inFrame = (at: number): boolean => at === CODE || at === SCRATCH;

interface Now {
  readonly look: ThreadLook;
  readonly stop?: Stop;
  readonly rip?: number;
  readonly rsp?: number;
  readonly rax?: number;
  readonly call?: number;
}

/** A program of one thread, which was borrowed where it slept in pause(), and what it is at now. */
function borrowed(now: Now) {
  const asked: string[] = [];
  let at: Now = { look: PAUSED };
  const registers = (): BigUint64Array => {
    const all = new BigUint64Array(27);
    all[REGISTER.cs] = 0x33n;
    all[REGISTER.rip] = BigInt(at.rip ?? 5000);
    all[REGISTER.rsp] = BigInt(at.rsp ?? 6000);
    all[REGISTER.rax] = BigInt.asUintN(64, BigInt(at.rax ?? -514));
    all[REGISTER.originalRax] = BigInt.asUintN(64, BigInt(at.call ?? SYS.pause));
    return all;
  };
  const door = {
    stop: () => (asked.push('stop'), at.stop ?? 'stopped'),
    registers,
    extended: () => new Uint8Array(576),
    mask: () => 0n,
    letGo: () => void asked.push('let go'),
    setRegisters: () => {},
    rseq: () => 0,
  };
  const target = { threadIds: () => [THREAD], thread: () => PAUSED, again: () => at.look };
  const seizer = new Seizer(target as unknown as Target, door as unknown as Door);
  expect(seizer.stop(() => true).id).toBe(THREAD);
  asked.length = 0;
  at = now;
  return { again: seizer.again(THREAD, inFrame)?.id ?? null, asked, seizer };
}

describe('the thread that was borrowed last', () => {
  it.each([
    ['sleeps as before', { look: PAUSED }],
    ['sleeps elsewhere, for no fixed time', { look: asleep(SYS.futex) }],
  ] as const)('is borrowed again, by one stop, where it %s', (_, now) => {
    expect(borrowed(now)).toMatchObject({ again: THREAD, asked: ['stop'] });
  });

  it.each([
    ['runs, and another may sleep', { look: { id: THREAD, state: 'R', sleepsIn: null } }],
    ['is in a call that would fail', { look: asleep(SYS.epoll_wait, 3, 0, 1, 20) }],
    ['is in a call with a duration', { look: asleep(SYS.nanosleep) }],
    ['reads a file, where nothing may stop it', { look: asleep(SYS.read) }],
    ['has ended', { look: { id: THREAD, state: 'S', sleepsIn: null } }],
  ] as const)('is not even asked to stop where it %s', (_, now) => {
    expect(borrowed(now)).toMatchObject({ again: null, asked: [] });
  });

  it.each([
    ['has not left the code that it ran', { look: PAUSED, rip: CODE }],
    ['has its stack in the scratch', { look: PAUSED, rsp: SCRATCH }],
    ['began a call with a duration', { look: PAUSED, rax: -516, call: SYS.nanosleep }],
  ] as const)('is let go where it %s', (_, now) => {
    expect(borrowed(now)).toMatchObject({ again: null, asked: ['stop', 'let go'] });
  });

  it('is another one by its number where it is not the one that was chosen', () => {
    const { seizer } = borrowed({ look: PAUSED });
    expect(seizer.again(THREAD + 1, inFrame)).toBe(null);
    expect(seizer.again(null, inFrame)).toBe(null);
  });

  it.each(['gone', 'group', 'late', 'refused'] as const)(
    'is looked for anew where it is %s',
    (s) => {
      expect(borrowed({ look: PAUSED, stop: s })).toMatchObject({ again: null, asked: ['stop'] });
    },
  );
});
