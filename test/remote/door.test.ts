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
