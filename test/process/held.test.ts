import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, tool } from '../build.js';
import { LONG } from '../more.js';
import { answer, child } from './child.js';
import { compileProgram } from './programs.js';

interface Look {
  first?: string;
  seen: string;
  result: number;
  thrown: number[];
  handled: number;
  passed: number;
  wrong: number;
  traps: number;
}
interface Held {
  during: Look;
  after: Look;
  drift: number;
  resolved: boolean;
}

const gdb = tool('gdb');
const gxx = tool('g++');
const folder = new Folder();
let library = '';
beforeAll(() => {
  if (gxx) library = compileProgram(folder, 'held.cpp');
});
afterAll(() => folder[Symbol.dispose]());

const look = (what: string, more: object = {}): ReturnType<typeof child> =>
  child('held.mjs', [JSON.stringify({ library, what, ...more })]);
const [SIGINFO, ONSTACK, RESTART] = [4, 0x0800_0000, 0x1000_0000];

/** Function names from the innermost out, of the thread that stays in the target. */
function frames(seen: string): string[] {
  const thread = seen.split('\nThread ').find((t) => t.includes('act_stay'));
  const names = [...(thread ?? '').matchAll(/^#\d+ +(?:0x[0-9a-f]+ in )?([\w?]+)/gm)].map(
    (m) => m[1]!,
  );
  return names.slice(Math.max(0, names.indexOf('act_stay')), names.indexOf('act_stay') + 4);
}
const CALLERS = ['act_stay', 'middle', 'outer', 'held_thread'];

describe.skipIf(!gxx)('an update that is held with its trap bytes visible', () => {
  it.skipIf(!gdb)(
    'gdb shows who called the target, through the trap and through the patched site',
    ({ skip }) => {
      const got = answer<Held>(look('backtrace', { gdb }));
      if (/ptrace: Operation not permitted/i.test(got.during.seen))
        skip('gdb may not attach to a process here');
      expect(got.during.first).toBe('cc');
      expect(got.during.traps).toBe(1);
      expect(frames(got.during.seen), got.during.seen).toEqual(CALLERS);
      expect(got.during.result).toBe(7 + 2 + 100 + 1000);
      expect(got.after.traps).toBe(0);
      expect(frames(got.after.seen), got.after.seen).toEqual(CALLERS);
      expect(got.drift).toBe(0);
    },
  );

  it('an exception comes back through the trap and through the patched site, destroying what lies between', () => {
    const got = answer<Held>(look('exception'));
    expect(got.during).toMatchObject({ first: 'cc', thrown: [5, 6, 7], traps: 3 });
    expect(got.after).toMatchObject({ thrown: [5, 6, 7], traps: 0 });
    expect(got.drift).toBe(0);
    // Every site still lies in a mapping of its file.
    expect(got.resolved).toBe(true);
  });

  if (LONG)
    it('signals a thousand times a second, whose handler passes the trap as well, change no result', () => {
      const got = answer<Held>(look('storm'));
      expect(got.during.first).toBe('cc');
      expect(got.during.handled).toBeGreaterThan(0);
      expect(got.during.traps).toBe(got.during.passed + got.during.handled);
      expect(got.during.wrong + got.after.wrong).toBe(0);
    });

  if (LONG)
    it('without SA_NODEFER such a signal on top of the trap handler is the end', () => {
      const got = look('storm', { flags: SIGINFO | ONSTACK | RESTART });
      expect([got.status, got.signal]).toEqual([null, 'SIGTRAP']);
    });
});
