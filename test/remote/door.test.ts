import { describe, expect, it } from 'vitest';
import { Door } from '#machine/remote/door';

const [SEIZE, INTERRUPT, DETACH] = [0x4206, 0x4207, 17];
const [PERM, CHILD] = [-1, -10];
/** A status of wait4: stopped by PTRACE_INTERRUPT, an event, as SIGTRAP. */
const STOPPED = (128 << 16) | (5 << 8) | 0x7f;

/** A kernel that answers each kind of call in turn, and the last answer from then on. */
function kernel(answers: { readonly wait: number[]; readonly interrupt?: number[] }) {
  const asked: number[] = [];
  let status = new Int32Array(2);
  const next = (of: number[]): number => (of.length > 1 ? of.shift()! : (of[0] ?? 0));
  const door = new Door({
    addressOf(buffer) {
      if (buffer instanceof Int32Array) status = buffer;
      return 0;
    },
    call(name, request = 0) {
      if (name === 'wait4') {
        const answer = next(answers.wait);
        status[0] = STOPPED;
        return answer;
      }
      if (name === 'ptrace') asked.push(request);
      return name === 'ptrace' && request === INTERRUPT ? next(answers.interrupt ?? []) : 0;
    },
  });
  return { door, asked };
}

/** A kernel that tells registers, and takes as many bytes of a write as it wants. */
function memory({ takes = Infinity } = {}) {
  const buffers = new Map<number, ArrayBufferView>();
  const bytesAt = (at: number): Uint8Array => new Uint8Array(buffers.get(at)?.buffer ?? []);
  const written: (readonly [number, string])[] = [];
  let registers: bigint[] = [];
  const door = new Door({
    addressOf(buffer) {
      const at = 4096 * (buffers.size + 1);
      buffers.set(at, buffer);
      return at;
    },
    call(name, ...args) {
      if (name === 'ptrace') {
        const vector = buffers.get(args[3] ?? 0) as BigUint64Array;
        const now = BigUint64Array.from(registers);
        bytesAt(Number(vector[0])).set(new Uint8Array(now.buffer));
        vector[1] = BigInt(now.byteLength);
        return 0;
      }
      const vectors = buffers.get(args[1] ?? 0) as BigUint64Array;
      const there = ((args[3] ?? 0) - (args[1] ?? 0)) / 8;
      let sum = 0;
      for (let i = 0; i < 2 * (args[2] ?? 0); i += 2) {
        const bytes = bytesAt(Number(vectors[i]));
        expect(vectors[there + i + 1]).toBe(BigInt(bytes.length));
        written.push([Number(vectors[there + i]), new TextDecoder().decode(bytes)]);
        sum += bytes.length;
      }
      return Math.min(sum, takes);
    },
  });
  return { door, written, has: (words: bigint[]) => (registers = words) };
}
const PIECES = [
  { at: 0x1000, bytes: new TextEncoder().encode('frame') },
  { at: 0x2000, bytes: new TextEncoder().encode('mailbox') },
];

describe('a thread that stands', () => {
  it('is told by the array of the time before where it has the same registers', () => {
    const { door, has } = memory();
    const words = Array.from({ length: 27 }, (_, i) => BigInt(i));
    has(words);
    const first = door.registers(7);
    expect([...first]).toEqual(words);
    expect(door.registers(7)).toBe(first);
    has(words.with(26, 99n));
    expect([...door.registers(7)]).toEqual(words.with(26, 99n));
    expect([...first]).toEqual(words);
  });
  it('has no registers of another one, where it tells fewer', () => {
    const { door, has } = memory();
    has(Array.from({ length: 27 }, () => 0x33n));
    door.registers(7);
    has([1n, 2n]);
    expect([...door.registers(8)]).toEqual([1n, 2n, ...Array.from({ length: 25 }, () => 0n)]);
  });
  it('is written to by one call, which says whether all of it was', () => {
    const { door, written } = memory();
    expect(door.write(7, PIECES)).toBe(true);
    expect(written).toEqual([
      [0x1000, 'frame'],
      [0x2000, 'mailbox'],
    ]);
    expect(memory({ takes: 11 }).door.write(7, PIECES)).toBe(false);
    expect(memory({ takes: -38 }).door.write(7, PIECES)).toBe(false);
  });
});

describe('a thread that is asked to stop', () => {
  it('is not gone where it is refused once to ask for it', () => {
    expect(kernel({ wait: [PERM, 0, 7] }).door.stop(7)).toBe('stopped');
  });
  it('is gone where there is no such child', () => {
    expect(kernel({ wait: [0, CHILD] }).door.stop(7)).toBe('gone');
  });
  it('is asked again where that was refused, and let go when it has stopped', () => {
    const { door, asked } = kernel({ wait: [0, 7], interrupt: [PERM, 0] });
    expect(door.stop(7)).toBe('refused');
    door.letLateGo();
    expect(asked).toEqual([SEIZE, INTERRUPT, INTERRUPT]);
    door.letLateGo();
    expect(asked.at(-1)).toBe(DETACH);
  });
});
