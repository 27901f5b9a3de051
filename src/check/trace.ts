// A path to words: who did what, with the patcher's reasons and the machine's own names, and what the first site's bytes
// were after it. What is drawn (lanes.ts) and what is told (story) both come from here.

import type { Model } from '../machine/sim/model.js';
import type { Op } from '../machine/sim/patcher.js';
import { decode } from '../x86/isa/decode.js';
import { printInsn } from '../x86/isa/print.js';
import { TARGETS } from '../machine/sim/scene.js';
import type { Choice, Shape } from './expand.js';
import { replay, type Replayed } from './replay.js';

export interface TraceStep {
  /** -1 the patcher, else the CPU's number. */
  readonly who: number;
  readonly what: string;
  /** The patcher's reason. */
  readonly why: string | null;
  /** Of the protocol; -1 for what is no step of it. */
  readonly step: number;
  readonly update: number;
  /** Bytes of the first site in memory afterwards. */
  readonly site: readonly number[];
  /** Bytes that were fetched. */
  readonly fetched: readonly number[] | null;
  /** Of little interest in a picture. */
  readonly minor: boolean;
}

const two = (byte: number): string => byte.toString(16).padStart(2, '0');
export const spell = (bytes: readonly number[]): string => bytes.map(two).join(' ');

export function trace(model: Model, path: readonly Choice[], shape: Shape, end: string | null): TraceStep[] {
  const steps = replay(model, path, shape);
  return steps.map((step, i) => {
    const last = i === steps.length - 1 ? end : null;
    if (step.patcher !== null) {
      const { op, flush, silent } = step.patcher;
      return { who: -1, what: describe(model, op, silent), why: op.why, step: op.step, update: op.update, site: siteBytes(model, step), fetched: null, minor: flush ? false : silent || op.op === 'current' };
    }
    return cpuStep(model, step, last);
  });
}

function siteBytes(model: Model, { before, after }: Replayed): number[] {
  const [site] = model.scene.sites;
  if (site === undefined || !site.patched) return [];
  const view = model.viewOf((after ?? before)[2] as number);
  return Array.from({ length: site.length }, (_, i) => model.memory(view, site.at + i));
}

/** What the bytes say, to somebody who does not read them. */
function meaning(bytes: readonly number[]): string {
  const insn = decode(bytes);
  return typeof insn === 'string' ? 'no instruction' : printInsn(insn);
}

const EVENT_WORDS: Readonly<Record<string, string>> = {
  irq: 'an interrupt', nmi: 'an NMI', mc: 'a machine check', db: 'a #DB', signal: 'a signal', ipi: 'answers the IPI', stop: 'is stopped', release: 'is released', 'release-serialise': 'is released',
};

function cpuStep(model: Model, step: Replayed, end: string | null): TraceStep {
  const { who } = step.choice;
  const base = { who, why: null, step: -1, update: 0, site: siteBytes(model, step), fetched: null, minor: false };
  const tail = end === null ? '' : `: ${end}`;
  if (step.move === null) return { ...base, what: `another task is switched in${tail}` };
  const { label, cpu } = step.move;
  const node = model.nodeOf(step.before[2 + who] as number);
  const where = model.scene.nameOf(node.rip);
  const context = node.context === 'task' ? '' : `${node.context === 'trap' ? 'handler' : node.context}: `;
  const after = cpu < 0 ? null : model.nodeOf(cpu);
  const then = after === null ? '' : after.done ? ', done' : `, to ${model.scene.nameOf(after.rip)}`;
  if (label.kind === 'event') return { ...base, what: `${EVENT_WORDS[label.event]}${label.event === 'ipi' ? ': serialises' : ` at ${where}`}${tail}` };
  if (label.kind === 'flush') return { ...base, what: `${context}a store reaches memory${tail}` };
  switch (label.stop) {
    case 'fetch':
      return { ...base, what: `${context}fetches ${spell(label.bytes ?? [])} (${meaning(label.bytes ?? [])})${tail}`, fetched: label.bytes };
    case 'piece':
      return { ...base, what: `${context}fetches a part of ${where}${tail}` };
    case 'load':
      return { ...base, what: `${context}reads the table${tail}`, minor: end === null };
    case 'retire':
      return { ...base, what: `${context}executes it${then}${tail}`, minor: end === null };
    default:
      return { ...base, what: `${context}runs ${where}${then}${tail}`, minor: end === null };
  }
}

export function describe(model: Model, op: Op, silent = false): string {
  switch (op.op) {
    case 'store':
      return `${silent ? 'issues' : 'stores'} ${spell(op.bytes)} at ${model.scene.nameOf(op.at)}`;
    case 'write':
      return `${silent ? 'issues' : 'writes'} the table`;
    case 'count':
    case 'exchange':
      return 'changes a word of the table';
    case 'await':
      return 'finds the word that it waits for';
    case 'retry':
      return 'tries again, or goes on';
    case 'current':
      return `${TARGETS[op.target]} may be called from here`;
    case 'return':
      return `update ${op.update} returns`;
    case 'lock':
      return 'takes the lock';
    case 'unlock':
      return 'gives the lock back';
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

/** One sentence: where the patcher was, what the CPU did, what came of it. */
export function story(steps: readonly TraceStep[], text: string): string {
  const last = steps.at(-1);
  const patcher = steps.findLast(({ who, minor }) => who < 0 && !minor);
  const event = steps.findLast(({ who, what }) => who >= 0 && /^(?:\w+: )?(?:an interrupt|an NMI|a machine check|a #DB|a signal|another task)/.test(what));
  const fetched = steps.findLast((step) => step.fetched !== null);
  const where = patcher === undefined ? 'before the first step' : `after the patcher's step «${patcher.what}»`;
  const middle = [
    ...(fetched !== undefined && fetched !== last ? [`CPU ${fetched.who} has fetched ${spell(fetched.fetched ?? [])}`] : []),
    ...(event !== undefined ? [event.what.replace(/: (?=from here).*/, '')] : []),
  ];
  const said = [where[0]?.toUpperCase() + where.slice(1), ...middle].filter((part) => !part.includes(text));
  return [...said, text].join(', ');
}
