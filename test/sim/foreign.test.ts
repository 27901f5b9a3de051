// A breakpoint that is not the protocol's: the program under test has one between two calls of its
// site, and a handler of SIGTRAP that was there before. Whatever an update does meanwhile, that
// handler must be reached by it exactly once.

import { expect, it } from 'vitest';
import { outcomes, type Litmus } from '#check/litmus/outcomes';
import { findProposal } from '#zoo/index';
import { int3 } from '#plan/protocols/int3';
import { label, mem, type Item, type Program } from '#asm/assembler';

/**
 * How often the previous handler ran: it counts where RBX points, for its own registers are gone
 * when it returns.
 */
const program: Program = [
  label('task'),
  ['push', 0],
  ['mov', 'rbx', 'rsp'],
  ['call', 'f'],
  ['int3'],
  ['call', 'f'],
  ['pop', 'r9'],
  label('done'),
  ['ud2'],
  label('previous'),
  ['inc', mem('rbx')],
  ['ret'],
  label('restorer'),
  ['mov', 'rax', 15],
  ['syscall'],
];

function reached(change: (program: Program) => Program = (same) => same): string[] {
  const handler = findProposal('int3', '', undefined).handler!('today');
  const litmus: Litmus = {
    environment: 'user',
    site: 'call',
    offset: 61,
    steps: int3.steps,
    updates: 1,
    handler: { ...handler, program: change(handler.program) },
    program: { program, target: (name) => [label(name), ['ret']], words: [] },
    read: ({ cpu }) => String(cpu.r[9]),
  };
  return outcomes(litmus, { chunk: 'line' });
}
const instead =
  (from: Item, to: Program) =>
  (items: Program): Program => {
    const at = items.findIndex((item) => JSON.stringify(item) === JSON.stringify(from));
    expect(at).toBeGreaterThanOrEqual(0);
    return items.toSpliced(at, 1, ...to);
  };

it("a breakpoint of the program's own reaches the previous handler exactly once, beside an update", () => {
  expect(reached()).toEqual(['1']);
});
it('a handler that keeps it, or that takes it for a stale one, is noticed', () => {
  expect(reached(instead(['jmp', 'rax'], [['ret']]))).toEqual(['0']);
  // Tried again for ever: no end is reached.
  expect(reached(instead(['je', 'foreign'], []))).toEqual([]);
});
