// What the model allows of the programs in plan/litmus.ts, by exhausting each on it, and the
// strictest machines that explain what a CPU was seen to do.

import { bytes, label, mem, rip, type Program } from '../../asm/assembler.js';
import { INT3 } from '../../asm/table.js';
import { invariant, unreachable } from '../../base/invariant.js';
import { CHUNKS, type Chunk, type FetchLevel } from '../../machine/sim/settings.js';
import type {
  DataProgram,
  LandingProgram,
  LitmusOutcome,
  LitmusProgram,
  Looked,
  OrderProgram,
  Written,
} from '../../plan/litmus.js';
import type { Step } from '../../plan/protocol.js';
import type { ParsedState, ParsedText } from '../../plan/text.js';
import { LITMUS_MACHINE, outcomes, type Litmus, type LitmusMachine } from './outcomes.js';

export type LitmusModel = Pick<LitmusMachine, 'fetch' | 'chunk' | 'store'>;

/** A word of the shared data that no table uses: how far the writer has come. */
const SAID = 25;
const NUMBERS: Readonly<Record<string, number>> = { A: 1, B: 2, C: 3 };
const target = (name: string): Program => [
  label(name),
  ['mov', 'r8d', NUMBERS[name] ?? 0],
  ['ret'],
];
/** What is found, 1 for old and 2 for new, is the last digit of R9. */
const noted: Program = [
  ['shl', 'r9d', 4],
  ['or', 'r9d', 'r8d'],
];
const cleared: Program = [
  ['xor', 'r9d', 'r9d'],
  ['xor', 'r8d', 'r8d'],
  ['xor', 'r11d', 'r11d'],
];
/** A trap is taken back and tried again, as the handler on the real CPU does. */
const RETRIED: Program = [label('trap'), ['dec', mem('rsp')], ['mov', 'r11d', 1], ['iretq']];
/** It goes on behind the trap byte. */
const RETURNED: Program = [label('trap'), ['iretq']];

/** The shape whose first update makes the same change, or the same one back. */
const SITES = { call: 'call', nop: 'ret0', off: 'hook' } as const;

const read: Litmus['read'] = ({ cpu }) => `${(cpu.r[9] ?? 0n).toString(16)} ${cpu.r[11]}`;

function landing(
  { from, offset, steps }: LandingProgram | DataProgram,
  text: ParsedText | null,
): Litmus {
  return {
    environment: 'kernel',
    site: SITES[from],
    offset,
    steps,
    updates: 1,
    ...(text === null ? {} : { text }),
    program: {
      program: [
        label('task'),
        ...cleared,
        ['call', 'f'],
        ...noted,
        label('done'),
        ['ud2'],
        ...RETRIED,
      ],
      target,
      words: [],
    },
    read,
  };
}

const store = (part: 'changed' | 'first', from: 'new' | 'old' | 'trap'): Step => ({
  do: 'store',
  part,
  bytes: from,
  as: 'one',
  why: 'for the question',
});

interface Part {
  readonly step: Step;
  readonly site: number | null;
}

/** What the writer does at which site. A trap is put there, and taken away again. */
const WRITES: Readonly<Record<Exclude<Written, 'word'>, readonly Part[]>> = {
  x: [{ step: store('changed', 'new'), site: 0 }],
  y: [{ step: store('changed', 'new'), site: 1 }],
  trap: [
    { step: store('first', 'trap'), site: 0 },
    { step: store('first', 'old'), site: 0 },
  ],
  sync: [{ step: { do: 'sync', why: 'every CPU serialises' }, site: null }],
};

function looked(look: Looked, i: number): Program {
  switch (look) {
    case 'x':
      return [['call', 'f'], ...noted];
    case 'y':
      return [['call', 'g'], ...noted];
    case 'word':
      return [['mov', 'r8', rip('table', 8 * SAID)], ['inc', 'r8d'], ...noted];
    case 'trap':
      // Where it was met, what follows has to be new.
      return [['call', 'f'], ['mov', 'r8d', 'r11d'], ['inc', 'r8d'], ...noted];
    case 'cpuid':
      return [['cpuid']];
    case 'serialize':
      return [['serialize']];
    case 'iret':
      // The way out of an event: this machine has no other IRET.
      return [bytes(INT3)];
    case 'branch':
      return [['call', 'leaf'], ['jmp', `next${i}`], label(`next${i}`)];
    default:
      return unreachable(look);
  }
}

function order({ writes, reads, offset, own }: OrderProgram): Litmus {
  const said = [{ word: SAID, value: 1n }];
  const steps = writes.flatMap((write) => (write === 'word' ? [] : WRITES[write]));
  const at = writes.indexOf('word');
  invariant(at <= 0 || at === writes.length - 1, 'the word is written first or last');
  const looks = reads.flatMap(looked);
  // The thread's own number is 2, and what it looks at first has to be as new.
  const body: Program = own === undefined ? looks : [['mov', 'r9d', 2], ...looks];
  return {
    environment: 'kernel',
    site: 'call',
    offset,
    steps: steps.map(({ step }) => step),
    writesTo: steps.map(({ site }) => site),
    updates: 1,
    ...(at === 0 ? { before: said } : {}),
    ...(at > 0 ? { writes: said } : {}),
    functions: writes.includes('y') ? 2 : 1,
    ...(own === undefined ? {} : { own }),
    program: {
      program: [
        label('task'),
        ...cleared,
        ...(own === undefined ? body : []),
        label('done'),
        ['ud2'],
        label('patcher'),
        ['ud2'],
        label('patcher.pass'),
        ...cleared,
        ...(own === undefined ? [] : body),
        ['jmp', 'done'],
        label('leaf'),
        ['ret'],
        ...(reads.includes('iret') ? RETURNED : RETRIED),
      ],
      target,
      words: [SAID],
    },
    read,
  };
}

const isText = (program: LitmusProgram): boolean =>
  program.watch === 'landing' && program.text !== undefined;

/** What each end of the program is called; a trap is an outcome beside the one that it led to. */
function named(program: LitmusProgram, end: string): readonly LitmusOutcome[] {
  const broken = /^([a-z-]+): /.exec(end)?.[1];
  if (broken !== undefined) {
    // Whatever else a text comes to, it is none of what was meant.
    invariant(broken === 'torn' || isText(program), `${program.name} breaks no promise: ${end}`);
    return ['mixed'];
  }
  const [landed = '', trapped] = end.split(' ');
  if (program.watch !== 'order') return trapped === '1' ? ['whole', 'trap'] : ['whole'];
  const values = program.reads.filter((look) => ['x', 'y', 'word', 'trap'].includes(look));
  const looks = [...(program.own === undefined ? [] : ['itself']), ...values];
  const wrong = looks.flatMap((look, i): LitmusOutcome[] => {
    const older = landed[i] === '1' && landed[i - 1] === '2';
    if (!older) return [];
    return look === looks[i - 1] ? ['backwards'] : ['late'];
  });
  return wrong.length > 0 ? wrong : ['in order'];
}

/** What a program may come to. A load reads what the stores leave, whatever the fetcher may. */
export function allowed(
  program: LitmusProgram,
  machine: LitmusModel & Partial<Pick<LitmusMachine, 'rules'>>,
): ReadonlySet<LitmusOutcome> {
  const fetch = program.watch === 'data' ? 'F0' : machine.fetch;
  const ends = litmusOf(program).flatMap((litmus) =>
    outcomes(litmus, { ...LITMUS_MACHINE, ...machine, fetch }),
  );
  return new Set(ends.flatMap((end) => named(program, end)));
}

/** One for each update: a call goes there as it comes back, and a text has as many as states. */
function litmusOf(program: LitmusProgram): readonly Litmus[] {
  if (program.watch === 'order') return [order(program)];
  if (program.watch === 'data' || program.text === undefined) return [landing(program, null)];
  return inPairs(program.text).map((text) => landing(program, text));
}

/** Each state and the one that comes after it, all bytes known. */
function inPairs(text: ParsedText): ParsedText[] {
  const states = text.states.reduce<readonly ParsedState[]>((before, state) => {
    const last = before.at(-1);
    const bytes = state.bytes.map((byte, i) => (byte === 'kept' ? (last?.bytes[i] ?? byte) : byte));
    return [...before, { ...state, bytes }];
  }, []);
  return states.map((state, i) => {
    const next = states[(i + 1) % states.length] ?? state;
    return { ...text, states: [state, next] };
  });
}

/** The one that `check` answers for. Both manuals promise that a quadword is stored whole. */
export const CLAIMED: LitmusModel = { fetch: 'F3', chunk: 'byte', store: 'qword' };
/** It allows what any of them does. */
const MOST: LitmusModel = { fetch: 'F3', chunk: 'byte', store: 'byte' };
/** All the others allow what it allows. */
const LEAST: LitmusModel = { fetch: 'F0', chunk: 'line', store: 'line' };

/**
 * Which levels allow all that a level allows, and more. Ascending and descending order of fetches
 * exclude each other. F4 fetches what F3 does, and complains that bytes which may have changed are
 * executed at all: that says something about a program, and nothing more about a CPU.
 */
const ABOVE: Readonly<Record<Exclude<FetchLevel, 'F4'>, readonly FetchLevel[]>> = {
  F0: ['F1', 'F1d', 'F1a', 'F2', 'F3'],
  F1: ['F1a', 'F2', 'F3'],
  F1d: ['F1a', 'F2', 'F3'],
  F1a: ['F2', 'F3'],
  F2: ['F3'],
  F3: [],
};
export const LEVELS = Object.keys(ABOVE) as (keyof typeof ABOVE)[];
const NARROWER = (Object.keys(CHUNKS) as Chunk[]).toSorted((a, b) => CHUNKS[b] - CHUNKS[a]);

/** Every machine, each behind those that are stricter. */
export const MODELS: readonly LitmusModel[] = LEVELS.flatMap((fetch) =>
  NARROWER.flatMap((chunk) => NARROWER.map((store) => ({ fetch, chunk, store }))),
).filter(({ fetch, chunk }) => fetch !== 'F0' || chunk === LEAST.chunk);

/** Whether `a` allows nothing that `b` does not. */
const within = (a: LitmusModel, b: LitmusModel): boolean =>
  (a.fetch === b.fetch || (ABOVE[a.fetch as keyof typeof ABOVE] ?? []).includes(b.fetch)) &&
  CHUNKS[a.chunk] >= CHUNKS[b.chunk] &&
  CHUNKS[a.store] >= CHUNKS[b.store];

/** What was seen of a program. */
export interface Sighting {
  readonly program: LitmusProgram;
  readonly outcomes: readonly LitmusOutcome[];
}

/** Which machines explain what was seen. Remembers what each of them allows. */
export class Explanations {
  readonly #allowed = new Map<LitmusProgram, Map<string, ReadonlySet<LitmusOutcome>>>();

  /**
   * The machines that allow all that was seen, without those that allow more than another of them;
   * none where no machine does.
   */
  strictest(seen: readonly Sighting[]): readonly LitmusModel[] {
    // What the strictest of all allows excludes none.
    const telling = seen.filter((each) => !this.#explains(LEAST, each));
    // And what the weakest forbids, all forbid.
    if (!telling.every((each) => this.#explains(MOST, each))) return [];
    const found: LitmusModel[] = [];
    for (const machine of MODELS) {
      if (found.some((other) => within(other, machine))) continue;
      if (telling.every((each) => this.#explains(machine, each))) found.push(machine);
    }
    return found;
  }

  #explains(machine: LitmusModel, { program, outcomes: saw }: Sighting): boolean {
    if (saw.length === 0) return true;
    const may = this.allowed(program, machine);
    return saw.every((outcome) => may.has(outcome));
  }

  allowed(program: LitmusProgram, machine: LitmusModel): ReadonlySet<LitmusOutcome> {
    const of = this.#allowed.get(program) ?? new Map<string, ReadonlySet<LitmusOutcome>>();
    this.#allowed.set(program, of);
    const { fetch, chunk, store: width } = machine;
    const key = [fetch, chunk, width].join();
    const may = of.get(key) ?? allowed(program, machine);
    of.set(key, may);
    return may;
  }
}
