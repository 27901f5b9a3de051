// What the model allows of the programs in plan/litmus.ts, by exhausting each on it, and the
// strongest model that explains what a CPU was seen to do.

import { label, mem, rip, type Program } from '../../asm/assembler.js';
import type { LitmusOutcome, LitmusProgram } from '../../plan/litmus.js';
import { LITMUS_MACHINE, outcomes, type Litmus, type LitmusMachine } from './outcomes.js';

/** A word of the shared data that no table uses: how far the writer has come. */
const SAID = 25;
const NUMBERS: Readonly<Record<string, number>> = { A: 1, B: 2, C: 3 };
const target = (name: string): Program => [
  label(name),
  ['mov', 'r8d', NUMBERS[name] ?? 0],
  ['ret'],
];
const call: Program = [
  ['call', 'f'],
  ['shl', 'r9d', 4],
  ['or', 'r9d', 'r8d'],
];
/** A trap is taken back and tried again, as the handler on the real CPU does. */
const retry: Program = [label('trap'), ['dec', mem('rsp')], ['mov', 'r11d', 1], ['iretq']];

const BODIES: Readonly<Record<LitmusProgram['watch'], Program>> = {
  landing: call,
  order: [['mov', 'r10', rip('table', 8 * SAID)], ...call, ...call],
};

/** What each end of the program is called; a trap is an outcome beside the one that it led to. */
function named(watch: LitmusProgram['watch'], end: string): readonly LitmusOutcome[] {
  if (end.startsWith('torn')) return ['mixed'];
  const [landed = '', said, trapped] = end.split(' ');
  if (watch === 'landing') return trapped === '1' ? ['whole', 'trap'] : ['whole'];
  const late = said === '1' && landed.startsWith('1');
  const backwards = landed === '21';
  return [
    ...(late ? (['late'] as const) : []),
    ...(backwards ? (['backwards'] as const) : []),
    ...(late || backwards ? [] : (['in order'] as const)),
  ];
}

/** The shape whose first update makes the same change, or the same one back. */
const SITES = { call: 'call', nop: 'ret0', off: 'hook' } as const;

export type LitmusModel = Pick<LitmusMachine, 'fetch' | 'chunk'>;

export function allowed(program: LitmusProgram, machine: LitmusModel): ReadonlySet<LitmusOutcome> {
  const { watch, from, offset, steps } = program;
  const litmus: Litmus = {
    environment: 'kernel',
    site: SITES[from],
    offset,
    steps,
    updates: 1,
    writes: watch === 'order' ? [{ word: SAID, value: 1n }] : [],
    program: {
      program: [
        label('task'),
        ['xor', 'r9d', 'r9d'],
        ['xor', 'r8d', 'r8d'],
        ['xor', 'r10d', 'r10d'],
        ['xor', 'r11d', 'r11d'],
        ...BODIES[watch],
        label('done'),
        ['ud2'],
        ...retry,
      ],
      target,
      words: [SAID],
    },
    read: ({ cpu }) => `${(cpu.r[9] ?? 0n).toString(16)} ${cpu.r[10]} ${cpu.r[11]}`,
  };
  return new Set(
    outcomes(litmus, { ...LITMUS_MACHINE, ...machine }).flatMap((end) => named(watch, end)),
  );
}

/**
 * Every model, so that each stands behind those that allow less. Ascending and descending order of
 * fetches exclude each other, and both come before any order. F4 is no claim about what a CPU does,
 * but about what it is asked.
 */
export const MODELS: readonly LitmusModel[] = [
  { fetch: 'F0', chunk: 'line' },
  ...(['F1', 'F1d', 'F1a', 'F2', 'F3'] as const).flatMap((fetch) =>
    (['line', 'fetch32', 'fetch16', 'qword', 'byte'] as const).map((chunk) => ({ fetch, chunk })),
  ),
];
/** The one under which verdicts are given. */
export const CLAIMED: LitmusModel = { fetch: 'F3', chunk: 'byte' };

/**
 * The first of them that allows all that was seen, for each of the programs; null where none does.
 */
export function explains(
  seen: readonly { readonly program: LitmusProgram; readonly outcomes: readonly LitmusOutcome[] }[],
): LitmusModel | null {
  return (
    MODELS.find((machine) =>
      seen.every(({ program, outcomes: saw }) => {
        if (saw.length === 0) return true;
        const may = allowed(program, machine);
        return saw.every((outcome) => may.has(outcome));
      }),
    ) ?? null
  );
}
