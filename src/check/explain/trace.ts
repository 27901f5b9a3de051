// A path in words: what moved and what it did, with the patcher's reasons and the machine's own
// names, and what the first site's bytes were afterwards. The picture and the story (timeline.ts)
// are both made from this.

import type { ActionLabel, Model, Move, PatcherMove } from '../../machine/sim/model.js';
import type { Event } from '../../machine/sim/events.js';
import type { Op } from '../../machine/sim/patcher.js';
import { decode } from '../../asm/decode.js';
import { printInsn } from '../../asm/print.js';
import { TARGETS } from '../../machine/sim/settings.js';
import type { Choice } from '../search/expand.js';
import { cpuOf, type Shape } from '../search/state.js';
import { replay, type Replayed } from '../search/path.js';
import type { TraceStep } from '../result.js';

export interface Trace {
  /** What the site does, and what the updates make of it. */
  readonly title: string;
  readonly steps: readonly TraceStep[];
  /** What came of it. */
  readonly end: string | null;
  /**
   * The step that, with the last one before it on another lane, causes what happens: mostly the
   * last one.
   */
  readonly crux: number;
}

const two = (byte: number): string => byte.toString(16).padStart(2, '0');
export const spell = (bytes: readonly number[]): string => bytes.map(two).join(' ');

export function trace(
  model: Model,
  path: readonly Choice[],
  shape: Shape,
  end: string | null,
): Trace {
  return {
    title: titleOf(model),
    steps: replay(model, path, shape).map((step) => stepOf(model, step)),
    end,
    crux: path.length - 1,
  };
}

/** One step in words: one that was taken, or one that could be. */
export const stepOf = (model: Model, step: Replayed): TraceStep =>
  step.patcher === null ? cpuStep(model, step) : patcherStep(model, step, step.patcher);

function titleOf(model: Model): string {
  const { fixture } = model;
  const [site] = fixture.sites;
  if (site === undefined) return '';
  const name = fixture.nameOf(site.at);
  const states = fixture.sequence.map((state) => TARGETS[state]);
  // Without an end the sequence is a walk that makes every possible update.
  const [any, then, arrow] =
    fixture.nodes === null ? ['', 'then to', ' →'] : ['any of ', 'to', ','];
  const each = <T>(list: readonly T[]): readonly T[] =>
    fixture.nodes === null ? list : [...new Set(list)];
  if (!site.patched)
    return `${name} calls through a pointer to ${any}${each(states).join(`, ${then} `)}`;
  const said = site.contents.map((bytes) => `${spell(bytes)} (${meaning(model, site.at, bytes)})`);
  return `site ${name}: ${any}${each(said).join(`${arrow} `)}`;
}

function siteBytes(model: Model, { before, after }: Replayed): number[] {
  const [site] = model.fixture.sites;
  if (site === undefined || !site.patched) return [];
  const view = model.viewOf(cpuOf(after ?? before, 0));
  return Array.from({ length: site.length }, (_, i) => model.memory(view, site.at + i));
}

/** What the bytes say, for a reader who does not decode them. */
function meaning({ fixture }: Model, at: number, bytes: readonly number[]): string {
  const insn = decode(bytes);
  if (typeof insn === 'string') return 'no instruction';
  const [operand] = insn.operands;
  // The empty form of a call: its immediate is the displacement that it keeps.
  if (insn.form.name === 'test') return 'off';
  if (operand?.kind !== 'rel')
    return insn.form.name === 'nop' || insn.pad.length > 0 ? insn.form.name : printInsn(insn);
  const name = fixture.nameOf(at + insn.length + operand.distance);
  return `${insn.form.name} ${name.startsWith('0x') ? 'to nowhere' : name}`;
}

function patcherStep(model: Model, step: Replayed, { op, flush, silent }: PatcherMove): TraceStep {
  return {
    who: -1,
    what: describe(model, op, silent),
    why: op.why,
    step: op.step,
    update: op.update,
    op: op.op,
    stored: op.op === 'store' && !silent ? storedBy(model, op) : null,
    site: siteBytes(model, step),
    fetched: null,
    entered: null,
    event: false,
    answer: false,
    minor: !flush && (silent || op.op === 'current'),
  };
}

/** A store, and how many bytes its whole step stores in the same site. */
function storedBy(model: Model, op: Op & { readonly op: 'store' }): TraceStep['stored'] {
  const site = model.fixture.sites.find(({ at, length }) => op.at >= at && op.at < at + length);
  const sizes = model.ops.map((other) => {
    const together = other.op === 'store' && other.step === op.step && other.update === op.update;
    const inSite =
      together && site !== undefined && other.at >= site.at && other.at < site.at + site.length;
    return inSite ? other.bytes.length : 0;
  });
  return {
    address: op.at,
    at: model.fixture.nameOf(op.at),
    bytes: op.bytes,
    of: sizes.reduce((sum, size) => sum + size, 0),
  };
}

/** What a CPU does because the patcher asks for it. */
const ANSWERS: ReadonlySet<Event> = new Set(['ipi', 'stop', 'serialise', 'left']);

const EVENT_WORDS: Readonly<Record<Event, string>> = {
  irq: 'an interrupt',
  nmi: 'an NMI',
  mc: 'a machine check',
  db: 'a #DB',
  signal: 'a signal',
  ipi: 'answers the IPI',
  serialise: 'serialise',
  left: 'is outside the text',
  stop: 'is stopped',
  release: 'is released',
  'release-serialise': 'is released',
  pass: 'pass',
};

function cpuStep(model: Model, step: Replayed): TraceStep {
  const { who } = step.choice;
  const base: Omit<TraceStep, 'what'> = {
    who,
    why: null,
    step: -1,
    update: 0,
    op: null,
    stored: null,
    site: siteBytes(model, step),
    fetched: null,
    entered: null,
    event: false,
    answer: false,
    minor: false,
  };
  if (step.move === null) return { ...base, what: 'another task is switched in', event: true };
  const { label } = step.move.action;
  const node = model.nodeOf(cpuOf(step.before, who));
  const where = model.fixture.nameOf(node.rip);
  if (label.kind === 'event') {
    const answer = ANSWERS.has(label.event);
    const what =
      label.event === 'ipi'
        ? 'answers the IPI: serialises'
        : `${EVENT_WORDS[label.event]} at ${where}`;
    return { ...base, what, event: !answer, answer };
  }
  return { ...base, ...ran(model, step.move, label, where, prefixOf(node.context)) };
}

/** The interrupted context goes without saying; what runs on top of it is named. */
function prefixOf(context: string): string {
  if (context === 'task') return '';
  return context === 'trap' ? 'handler: ' : `${context}: `;
}

/** What a CPU does by itself. */
function ran(
  model: Model,
  move: Move,
  label: Exclude<ActionLabel, { readonly kind: 'event' }>,
  where: string,
  context: string,
): Partial<TraceStep> & Pick<TraceStep, 'what'> {
  if (label.kind === 'flush') return { what: `${context}a store reaches memory` };
  const stored = model.storeOf(move);
  if (stored !== null)
    return {
      what: `${context}stores ${spell(stored.bytes)} at ${model.fixture.nameOf(stored.at)}`,
    };
  const entered = TARGETS[move.action.entered] ?? null;
  const then = `${entered === null ? '' : `, into ${entered}`}${nextOf(model, move)}`;
  const minor = entered === null;
  switch (label.stop) {
    case 'fetch': {
      const bytes = label.bytes ?? [];
      const says = meaning(model, label.at, bytes);
      return { what: `${context}fetches ${spell(bytes)} (${says})`, fetched: label.bytes };
    }
    case 'piece':
      return { what: `${context}fetches a part of ${where}` };
    case 'load':
      return { what: `${context}reads the table${then}`, entered, minor };
    case 'retire':
      return { what: `${context}executes it${then}`, entered, minor };
    default:
      return { what: `${context}runs ${where}${then}`, entered, minor };
  }
}

/** Where a CPU goes on after a move. */
function nextOf(model: Model, { cpu }: Move): string {
  if (cpu < 0) return '';
  const { done, rip } = model.nodeOf(cpu);
  return done ? ', done' : `, to ${model.fixture.nameOf(rip)}`;
}

const ASKED = {
  signal: ' by a signal',
  progress: ' to serialise outside the text',
  grace: ' to leave the text',
  acknowledge: ' to acknowledge, by an IPI or in the handler of a trap',
} as const;

export function describe(model: Model, op: Op, silent = false): string {
  switch (op.op) {
    case 'store':
      return `${silent ? 'issues' : 'stores'} ${spell(op.bytes)} at ${model.fixture.nameOf(op.at)}`;
    case 'write':
      return `${silent ? 'issues' : 'writes'} the table`;
    case 'count':
      return `adds ${op.by} to a word of the table`;
    case 'exchange':
      return `exchanges ${op.from} for ${op.to} in the table`;
    case 'await':
      return `finds ${op.is} in the table`;
    case 'retry':
      return `finds ${op.is} in the table, or else retries`;
    case 'current':
      return `${TARGETS[op.target]} may be called from here`;
    case 'return':
      return `update ${op.update} returns`;
    case 'lock':
      return 'takes the lock';
    case 'unlock':
      return 'releases the lock';
    case 'ask':
      return `asks every thread${ASKED[op.what]}`;
    case 'send':
      return 'sync: asks every CPU';
    case 'wait':
      return 'sync: all have answered';
    case 'self':
      return 'sync: serialises itself';
    case 'barrier':
      return 'sync (membarrier)';
    case 'pass':
      return 'passes the site itself';
    case 'stop':
      return 'asks every CPU to stop';
    case 'stopped':
      return 'all have stopped';
    case 'release':
      return 'releases them';
  }
}
