// A path as frames: what every state on it looks like, and each step between two of them in words.
// It may end anywhere, because a person who chooses the steps has not come to an end yet.

import type { Bad } from '../machine/sim/promises.js';
import { decodeToken, encodeToken, type Token } from '../check/explain/token.js';
import { violationOf } from '../check/explain/judge.js';
import { machineOf, performUnder, proposalIn, type Machine } from '../check/explain/followed.js';
import { stepOf, trace, type Trace } from '../check/explain/trace.js';
import type { TraceStep } from '../check/result.js';
import { choices, initial, replay, type Replayed } from '../check/search/path.js';
import type { Choice } from '../check/search/expand.js';
import { titleOf } from '../check/configuration.js';
import type { Proposal } from '../zoo/index.js';
import {
  snapshot,
  versionsOf,
  wholeOf,
  type Snapshot,
  type Version,
  type World,
} from './snapshot.js';

export interface Broken {
  readonly property: string;
  readonly text: string;
}

/** A step of the path with what is drawn of it. */
export interface Row extends TraceStep {
  /** The instruction that was fetched: a version of the site, a trap or a mixture. */
  readonly whole: World | 'mixture' | null;
  /** Which bytes of the site changed in memory. */
  readonly changed: readonly boolean[];
  /** One of the two steps that decide. */
  readonly culprit: boolean;
}

export interface Film {
  readonly title: string;
  /** What the site does and what the updates make of it. */
  readonly about: string;
  readonly proposal: Proposal;
  readonly token: Token;
  readonly machine: Machine;
  readonly versions: readonly Version[];
  readonly rows: readonly Row[];
  /** One more than there are rows: before the first, and after each. */
  readonly frames: readonly Snapshot[];
  readonly broken: Broken | null;
  /** Every promise that some step broke, in the order of the steps. */
  readonly breaches: readonly (Broken & { readonly at: number })[];
  /** What came of it, where nothing is broken. */
  readonly end: string | null;
  /** The two rows that decide, the later one last; empty where nothing is decided. */
  readonly crux: readonly number[];
}

/** @throws Fault `bad-usage` where the text is no path, or cannot be followed */
export const filmOf = (text: string): Film => filmOfToken(decodeToken(text));

export function filmOfToken(token: Token): Film {
  const proposal = proposalIn(token);
  const machine = machineOf(token, proposal);
  const { model, shape } = machine;
  const { path, property } = token;
  const broken = path.length === 0 ? null : (violationOf(model, path, shape, property) ?? null);
  const end = broken === null ? null : `${broken.property}: ${broken.text}`;
  const drawn = trace(model, token.path, shape, end);
  return film({
    token,
    proposal,
    machine,
    path: token.path,
    drawn,
    broken,
    decided: broken !== null,
  });
}

/** The same schedule under another protocol. */
export function filmUnder(from: Film, name: string): Film {
  const { model, shape } = from.machine;
  const drawn = trace(model, from.token.path, shape, null);
  const performed = performUnder(from.token, drawn, name);
  const { proposal, path, property } = performed;
  const broken = property === 'none' ? null : { property, text: performed.drawn.end ?? '' };
  return film({
    token: {
      ...from.token,
      protocol: proposal.name,
      variant: proposal.variant,
      property: broken === null ? '' : property,
      own: null,
      path,
    },
    proposal,
    machine: performed,
    path,
    drawn: performed.drawn,
    broken,
    decided: true,
  });
}

interface Parts {
  readonly token: Token;
  readonly proposal: Proposal;
  readonly machine: Machine;
  readonly path: readonly Choice[];
  readonly drawn: Trace;
  readonly broken: Broken | null;
  /** Whether the crux says something. */
  readonly decided: boolean;
}

function film({ token, proposal, machine, path, drawn, broken, decided }: Parts): Film {
  const { model, shape } = machine;
  const versions = versionsOf(model.fixture);
  const crux = decided ? cruxOf(drawn) : [];
  const taken = replay(model, path, shape);
  const states = [initial(model, shape), ...taken.map(({ before, after }) => after ?? before)];
  return {
    title: titleOf({ protocol: proposal.name, variant: proposal.variant }),
    about: drawn.title,
    proposal,
    token,
    machine,
    versions,
    rows: drawn.steps.map((step, i) => ({
      ...step,
      whole: step.fetched === null ? null : wholeOf(versions, step.fetched),
      changed: changes(drawn.steps[i - 1]?.site ?? versions[0]?.bytes ?? [], step.site),
      culprit: crux.includes(i),
    })),
    frames: states.map((state) => snapshot(model, shape, state)),
    broken,
    breaches: taken.flatMap(({ move }, at) =>
      (move?.bad ?? []).map((each) => ({ ...toldOf(each), at })),
    ),
    end: broken === null && decided ? drawn.end : null,
    crux,
  };
}

const changes = (before: readonly number[], after: readonly number[]): boolean[] =>
  after.map((byte, i) => byte !== before[i]);

/** The crux of a trace, and the last step before it on another lane that is drawn. */
function cruxOf({ steps, crux }: Trace): number[] {
  const last = steps[crux];
  if (last === undefined) return [];
  const other = steps.findLastIndex(({ who, minor }, i) => i < crux && who !== last.who && !minor);
  return other < 0 ? [crux] : [other, crux];
}

/** The address of what is seen. */
export const tokenOf = ({ token }: Film): string => encodeToken(token);

/** A film that has gone one step on, or back to a number of steps. */
export const extended = ({ token }: Film, choice: Choice): Film =>
  filmOfToken({ ...token, property: '', path: [...token.path, choice] });
export const cutTo = ({ token }: Film, length: number): Film =>
  filmOfToken({ ...token, property: '', path: token.path.slice(0, length) });

/** One thing that may happen next. */
export interface Option extends Pick<TraceStep, 'who' | 'what' | 'why'> {
  readonly choice: Choice;
  readonly whole: World | 'mixture' | null;
  /** What it breaks at once. */
  readonly breaks: readonly Broken[];
  /** The path ends with it. */
  readonly ends: boolean;
}

/** Everything that the model allows after the last step; nothing where the path has ended. */
export function optionsOf({ machine, token, versions }: Film): readonly Option[] {
  const state = lastState(machine, token.path);
  return state === null ? [] : steps(machine, state).map((step) => option(machine, versions, step));
}

function option({ model }: Machine, versions: readonly Version[], step: Replayed): Option {
  const { who, what, why, fetched } = stepOf(model, step);
  return {
    who,
    what,
    why,
    choice: step.choice,
    whole: fetched === null ? null : wholeOf(versions, fetched),
    breaks: (step.move?.bad ?? []).map(toldOf),
    ends: step.after === null,
  };
}

const toldOf = ({ property, text }: Bad): Broken => ({ property, text });

/** Null where the last step ended the path. */
export function lastState({ model, shape }: Machine, path: readonly Choice[]): Int32Array | null {
  const done = replay(model, path, shape).at(-1);
  return done === undefined ? initial(model, shape) : done.after;
}

const steps = ({ model, shape }: Machine, state: Int32Array): Replayed[] =>
  choices(model, state, shape);

/** What can still be broken after the last step, each by the fewest steps. */
export interface Ahead {
  readonly found: readonly (Broken & { readonly path: readonly Choice[] })[];
  readonly states: number;
  /** Every state that can follow was seen. */
  readonly whole: boolean;
}

/** Looks ahead, breadth first, at so many states. */
export function ahead({ machine, token }: Film, most: number): Ahead {
  const from = lastState(machine, token.path);
  const found = new Map<string, Ahead['found'][number]>();
  if (from === null) return { found: [], states: 0, whole: true };
  interface Open {
    readonly state: Int32Array;
    readonly choice: Choice | null;
    readonly parent: Open | null;
  }
  const pathTo = (open: Open | null): Choice[] =>
    open === null || open.choice === null ? [] : [...pathTo(open.parent), open.choice];
  const seen = new Set([from.join()]);
  const queue: Open[] = [{ state: from, choice: null, parent: null }];
  let looked = 0;
  // The queue grows while it is walked.
  for (const open of queue) {
    if (looked++ === most) break;
    for (const { choice, move, after } of steps(machine, open.state)) {
      for (const { property, text } of move?.bad ?? [])
        if (!found.has(property))
          found.set(property, { property, text, path: [...pathTo(open), choice] });
      const key = after?.join();
      if (after === null || key === undefined || seen.has(key)) continue;
      seen.add(key);
      queue.push({ state: after, choice, parent: open });
    }
  }
  return { found: [...found.values()], states: Math.min(looked, most), whole: looked <= most };
}
