import { describe, expect, it } from 'vitest';
import { REGISTER } from '#machine/remote/door';
import { checkReturns, goingOn, Holder, isInside, overlaps } from '#machine/remote/hold';
import type { ThreadLook } from '#machine/remote/target';

const [SEIZE, INTERRUPT, GET, SET, DETACH] = [0x4206, 0x4207, 0x4204, 0x4205, 17];
const [NO_PROCESS, NO_CHILD] = [-3, -10];
/** A status of wait4: stopped by PTRACE_INTERRUPT, an event, as SIGTRAP. */
const STOPPED = (128 << 16) | (5 << 8) | 0x7f;
const SITE = { at: 0x1000, length: 5 };
const SYS_READ = 0n;

const at = (rip: number, rcx = 0): BigUint64Array => {
  const registers = new BigUint64Array(27);
  registers[REGISTER.rip] = BigInt(rip);
  registers[REGISTER.rcx] = BigInt(rcx);
  registers[REGISTER.cs] = 0x33n;
  registers[REGISTER.originalRax] = BigInt.asUintN(64, -1n);
  return registers;
};

/** A process of threads that stop when they are asked, and a kernel that keeps a record of it. */
function processOf(threads: Map<number, { registers: BigUint64Array; state?: string }>) {
  const buffers: ArrayBufferView[] = [];
  const held = new Set<number>();
  const asked: string[] = [];
  const bufferAt = (address: number): ArrayBufferView => buffers[address / 8]!;
  let listed = 0;
  let onList = (_: number): void => {};
  const target = {
    pid: 7,
    alive: true,
    threadIds: () => (onList(listed++), [...threads.keys()]),
    thread: (id: number): ThreadLook => ({
      id,
      state: threads.get(id)?.state ?? 'R',
      sleepsIn: null,
    }),
    standing: () => ({ state: 'R', tracer: 0 }),
  };
  const names = new Map([
    [SEIZE, 'seize'],
    [INTERRUPT, 'interrupt'],
    [GET, 'get'],
    [SET, 'set'],
    [DETACH, 'detach'],
  ]);
  const native = {
    addressOf(buffer: ArrayBufferView) {
      if (!buffers.includes(buffer)) buffers.push(buffer);
      return 8 * buffers.indexOf(buffer);
    },
    call(name: string, first = 0, second = 0, third = 0, fourth = 0): number {
      if (name === 'wait4') {
        if (!threads.has(first)) return NO_CHILD;
        (bufferAt(second) as Int32Array)[0] = STOPPED;
        return first;
      }
      if (name !== 'ptrace') return 0;
      const thread = threads.get(second);
      if (!thread) return NO_PROCESS;
      asked.push(`${names.get(first)} ${second}`);
      if (first === SEIZE) held.add(second);
      if (first === DETACH) held.delete(second);
      if (first === GET || first === SET) {
        const [area, length] = bufferAt(fourth) as BigUint64Array;
        const bytes = new Uint8Array(bufferAt(Number(area)).buffer);
        const registers = new Uint8Array(thread.registers.buffer);
        expect(third).toBe(1);
        if (first === GET) {
          bytes.set(registers);
          (bufferAt(fourth) as BigUint64Array)[1] = BigInt(registers.length);
        } else registers.set(bytes.subarray(0, Number(length)));
      }
      return 0;
    },
  };
  return { target, native, held, asked, whenListed: (then: typeof onList) => (onList = then) };
}

describe('while all threads are stopped', () => {
  it('those run that were made in between are stopped too', () => {
    const threads = new Map([[7, { registers: at(0x2000) }]]);
    const { target, native, held, whenListed } = processOf(threads);
    // The first list is of threads that no signal wakes, the second of what is asked.
    whenListed((n) => void (n === 2 && threads.set(8, { registers: at(0x2000) })));
    const holder = new Holder(native, target);
    expect(holder.while([SITE], () => [...held])).toEqual([7, 8]);
    expect([...held]).toEqual([]);
    expect(holder.held).toMatchObject({ threads: 2 });
  });

  it('none stands in the middle of a site: all are let go, and stopped again', () => {
    const threads = new Map([
      [7, { registers: at(SITE.at + 1) }],
      [8, { registers: at(SITE.at) }],
    ]);
    const { target, native, asked } = processOf(threads);
    const holder = new Holder(native, target, (step) => {
      if (step === 'all let go') threads.set(7, { registers: at(SITE.at + SITE.length) });
    });
    expect(holder.while([SITE], () => asked.filter((each) => each === 'detach 8').length)).toBe(1);
  });

  it('each is made to return by IRET, which serialises', () => {
    const threads = new Map([
      [7, { registers: at(0x2000, 0x2000) }],
      [8, { registers: at(0x2000, 0x1234) }],
    ]);
    const { target, native } = processOf(threads);
    new Holder(native, target).while([SITE], () => {});
    expect(threads.get(7)!.registers[REGISTER.rcx]).not.toBe(0x2000n);
    expect(threads.get(8)!.registers[REGISTER.rcx]).toBe(0x1234n);
  });

  it('they are let go where what is done in between fails', () => {
    const { target, native, held } = processOf(new Map([[7, { registers: at(0x2000) }]]));
    const failing = (): never => {
      throw new Error('no');
    };
    expect(() => new Holder(native, target).while([SITE], failing)).toThrow('no');
    expect([...held]).toEqual([]);
  });

  it('one that sleeps where nothing stops it is not even asked', () => {
    const threads = new Map([
      [7, { registers: at(0x2000) }],
      [8, { registers: at(0x2000), state: 'D' }],
    ]);
    const { target, native, asked } = processOf(threads);
    const before: string[][] = [];
    const holder = new Holder(native, target, (step) => {
      if (step === 'all let go') before.push([...asked]);
      threads.delete(8);
    });
    holder.while([SITE], () => {});
    expect(before[0]).toEqual([]);
    expect(before[1]?.slice(0, 2)).toEqual(['seize 7', 'interrupt 7']);
  });
});

describe('a thread that was stopped', () => {
  it('goes on with its registers, but for what it has lost already', () => {
    expect(goingOn(at(0x2000, 0x1234))).toBeNull();
    const changed = goingOn(at(0x2000, 0x2000));
    expect(changed?.[REGISTER.rip]).toBe(0x2000n);
    expect(changed?.[REGISTER.rcx]).toBe(0n);
    const reading = at(0x2000, 0x2000);
    reading[REGISTER.originalRax] = SYS_READ;
    expect(goingOn(reading)?.[REGISTER.originalRax]).toBe(SYS_READ);
  });

  it('is inside of a stretch behind its first byte and before its end', () => {
    const two = [SITE, { at: 0x1010, length: 6 }];
    const found = [0xfff, 0x1000, 0x1001, 0x1004, 0x1005, 0x100f, 0x1010, 0x1011, 0x1015, 0x1016];
    expect(found.filter((place) => isInside(place, two))).toEqual([0x1001, 0x1004, 0x1011, 0x1015]);
    expect(isInside(0x1001, [])).toBe(false);
    expect(overlaps(0xffe, 2, two)).toBe(false);
    expect(overlaps(0xffe, 3, two)).toBe(true);
    expect(overlaps(0x1005, 11, two)).toBe(false);
    expect(overlaps(0x1005, 12, two)).toBe(true);
  });

  it('is not counted on to be serialised where the kernel returns by ERETU', () => {
    expect(() => checkReturns('flags\t\t: fpu vme de')).not.toThrow();
    const refused = expect.objectContaining({ code: 'not-supported' });
    expect(() => checkReturns('flags\t\t: fpu fred lkgs')).toThrow(refused);
  });
});
