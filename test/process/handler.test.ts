import { describe, expect, it } from 'vitest';
import { SIGTRAP_PROGRAM } from '#native/sigtrap';
import { answer, child } from './child.js';

interface Site {
  site: number;
  form: string;
  length: number;
  condition: number;
  target: number;
}
interface After {
  rip: number;
  rsp: number;
  rax: number;
  pushed: number;
  traps: number[];
  stale: number;
  foreign: number;
  previous: number;
}
interface Case {
  sites: Site[];
  trap: number;
  byte: number;
  twoBytes: boolean;
  kernel: boolean;
  flags: number;
  top: number;
  after: After;
  text: number;
}

/**
 * The sixteen conditions as the manual words them (SDM volume 2, Jcc), independently of the
 * handler's masks.
 */
function holds(condition: number, flags: number): boolean {
  const [cf, pf, zf, sf, of] = [0, 2, 6, 7, 11].map((bit) => ((flags >> bit) & 1) === 1) as [
    boolean,
    boolean,
    boolean,
    boolean,
    boolean,
  ];
  const even = [of, cf, zf, cf || zf, sf, pf, sf !== of, zf || sf !== of][condition >> 1]!;
  return condition % 2 === 0 ? even : !even;
}

/** What the handler should do, said as plainly as possible. Addresses relative to the text. */
function expected(c: Case): After {
  const after: After = {
    rip: c.trap + 1,
    rsp: 0,
    rax: 0x1234,
    pushed: 0x5555,
    traps: c.sites.map(() => 0),
    stale: 0,
    foreign: 0,
    previous: 0,
  };
  const index = c.kernel ? c.sites.findIndex((s) => s.site === c.trap) : -1;
  const site = c.sites[index];
  if (!site) {
    const foreign = !c.kernel || c.byte === 0xcc || (c.byte === 0x03 && c.twoBytes);
    return foreign ? { ...after, foreign: 1, previous: 1 } : { ...after, stale: 1, rip: c.trap };
  }
  after.traps[index] = 1;
  const [end, target] = [site.site + site.length, site.target - c.text];
  switch (site.form) {
    case 'call':
      return { ...after, rip: target, rsp: -8, pushed: c.text + end };
    case 'jmp':
      return { ...after, rip: target };
    case 'nop':
      return { ...after, rip: end };
    case 'ret0':
      return { ...after, rip: end, rax: 0 };
    case 'ret':
      return { ...after, rip: c.top - c.text, rsp: 8 };
    default:
      return { ...after, rip: holds(site.condition, c.flags) ? target : end };
  }
}

const disagreements = (cases: Case[]): Case[] =>
  cases.filter((c) => JSON.stringify(c.after) !== JSON.stringify(expected(c)));

// Two CPUs seldom count in the same moment, so that a run alone does not tell.
it('the SIGTRAP handler counts in memory by locked instructions alone', () => {
  const rows = SIGTRAP_PROGRAM.map((row) => JSON.stringify(row));
  expect(rows.filter((row) => row.startsWith('["lock","inc",{'))).toHaveLength(3);
  expect(rows.filter((row) => /^\["(inc|dec|add|sub|xadd)",\{/.test(row))).toEqual([]);
});

describe('the SIGTRAP handler, called with made-up contexts', () => {
  it('does for 10,000 random contexts what its description says', () => {
    const cases = answer<Case[]>(child('handler.mjs', ['10000', '7']));
    expect(cases).toHaveLength(10_000);
    expect(new Set(cases.map((c) => c.sites.find((s) => s.site === c.trap)?.form)).size).toBe(7);
    expect(disagreements(cases).slice(0, 1)).toEqual([]);
  });

  it.each(['no-reread', 'return-address-one-off', 'no-inverted-conditions', 'unsorted-table'])(
    'is seen to be wrong without a rule: %s',
    (mutant) => {
      const cases = answer<Case[]>(child('handler.mjs', ['500', '7', mutant]));
      expect(disagreements(cases).length).toBeGreaterThan(0);
    },
  );
});
