// The thread that changes the instruction, through a second mapping of its page: store instructions
// of the width that each step names, and synchronisations.

import { Fault } from '../../base/fault.js';
import { invariant } from '../../base/invariant.js';
import { MEMBARRIER, SYS } from '../../base/linux.js';
import {
  bytes as raw,
  mem,
  mem16,
  mem32,
  mem8,
  type Item,
  type Program,
} from '../../asm/assembler.js';
import { INT3 } from '../../asm/table.js';
import type { Step } from '../../plan/protocol.js';
import { DISPLACEMENT } from '../../x86/forms.js';

/** One store instruction on the site, or on the aligned eight bytes around what it stores. */
interface Store {
  readonly at: number;
  readonly bytes: readonly number[];
  readonly as: 'plain' | 'locked' | 'merge';
}
export type Effect = Store | 'sync';

/** A step that these threads cannot take. @returns what is wrong with it */
export function whyNotStep(step: Step): string | null {
  switch (step.do) {
    case 'sync':
      return step.how === 'signal' || step.how === 'progress' || step.how === 'acknowledge'
        ? `it waits by ${step.how}, and here there is membarrier`
        : null;
    case 'publish':
    case 'retire':
    case 'store':
    case 'write':
    case 'store-head':
    case 'store-tail':
    case 'restore-head':
      return null;
    default:
      return `${step.do} is neither a store to text nor a synchronisation`;
  }
}

/** The site's bytes before and after an update. */
export interface Forms {
  readonly old: readonly number[];
  readonly fresh: readonly number[];
}

/** What the steps of an update do to the text, one instruction after the other. */
export function effectsOf(steps: readonly Step[], { old, fresh }: Forms): Effect[] {
  const head = steps.flatMap((step) => (step.do === 'store-head' ? step.bytes : [])).length;
  const sources = { trap: [INT3, ...old.slice(1)], old, new: fresh };
  const bytewise = (at: number, bytes: readonly number[]): Effect[] =>
    bytes.map((byte, i) => ({ at: at + i, bytes: [byte], as: 'plain' }));
  return steps.flatMap((step): Effect[] => {
    switch (step.do) {
      case 'publish':
      case 'retire':
        return [];
      case 'sync':
        return ['sync'];
      case 'store-head':
        return [{ at: 0, bytes: step.bytes, as: 'plain' }];
      case 'store-tail':
        return bytewise(head, fresh.slice(head));
      case 'restore-head':
        return [{ at: 0, bytes: fresh.slice(0, head), as: 'plain' }];
      case 'store': {
        const [from, to] = rangeOf(step.part, old, fresh);
        const bytes = sources[step.bytes].slice(from, to);
        if (step.as === 'bytes') return bytewise(from, bytes);
        // Where only the displacement changes, no neighbour could be lost: a plain store will do.
        const locked = step.as === 'exchange' && from === 0 && to > 1;
        return bytes.length === 0 ? [] : [{ at: from, bytes, as: locked ? 'locked' : 'plain' }];
      }
      case 'write': {
        const bytes = sources[step.from].slice(step.at, step.at + step.bytes);
        if (step.as === 'bytes') return bytewise(step.at, bytes);
        const as = ({ one: 'plain', exchange: 'locked', merge: 'merge' } as const)[step.as];
        return [{ at: step.at, bytes, as }];
      }
      default:
        throw new Fault('not-supported', `${whyNotStep(step)}`);
    }
  });
}

type Part = Extract<Step, { do: 'store' }>['part'];

function rangeOf(
  part: Part,
  old: readonly number[],
  fresh: readonly number[],
): readonly [from: number, to: number] {
  const differs = old.flatMap((byte, i) => (byte === fresh[i] ? [] : [i]));
  switch (part) {
    case 'first':
      return [0, 1];
    case 'opcode':
      return [old.length - DISPLACEMENT - 1, old.length - DISPLACEMENT];
    case 'rest':
      return [1, old.length];
    case 'displacement':
      return [old.length - DISPLACEMENT, old.length];
    case 'whole':
      return [0, old.length];
    case 'byte':
    case 'changed':
      return [differs[0] ?? 0, (differs.at(-1) ?? -1) + 1];
  }
}

const syscall = (number: number, edi: number, esi: number): Program => [
  ['mov', 'eax', number],
  ['mov', 'edi', edi],
  ['mov', 'esi', esi],
  ['xor', 'edx', 'edx'],
  ['syscall'],
];
export const synchronise: Program = syscall(SYS.membarrier, MEMBARRIER.syncCore, 0);

const number64 = (bytes: readonly number[]): bigint =>
  bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);

/** rbx: the site, which lies at that offset of its line. */
export function performed(effects: readonly Effect[], offset: number): Program {
  return effects.flatMap((effect): Program => {
    if (effect === 'sync') return synchronise;
    return effect.as === 'merge' ? merged(effect, alignedAt(effect, offset)) : stored(effect);
  });
}

function stored(store: Store): Program {
  const { at, bytes, as } = store;
  const plain = as === 'plain';
  const value = Number(number64(bytes.slice(0, 4)));
  switch (bytes.length) {
    case 1:
      return [
        ['mov', 'eax', value],
        plain ? ['mov', mem8('rbx', at), 'al'] : ['xchg', mem8('rbx', at), 'al'],
      ];
    case 2:
      return [['mov', 'eax', value], plain ? ['mov', mem16('rbx', at), 'ax'] : exchange16(at)];
    case 4:
      return [
        ['mov', 'eax', value],
        plain ? ['mov', mem32('rbx', at), 'eax'] : ['xchg', mem32('rbx', at), 'eax'],
      ];
    default:
      invariant(bytes.length <= 8, 'one store instruction stores at most eight bytes');
      // There is no such store: one of eight bytes, which leaves the others as they are.
      return merged(store, at);
  }
}

/** xchg [rbx + at], ax */
const exchange16 = (at: number): Item => raw(0x66, 0x87, 0x43, at & 0xff);

/** The aligned eight bytes around a store, from the site on. */
function alignedAt({ at, bytes }: Store, offset: number): number {
  const first = Math.floor((offset + at) / 8) * 8 - offset;
  if (at + bytes.length > first + 8)
    throw new Fault(
      'bad-protocol',
      'a step merges into one quadword, and crosses it at this site',
      {
        hint: 'choose another --offset',
      },
    );
  return first;
}

/** Eight bytes are loaded, changed and stored. Only this thread stores. */
function merged({ at, bytes, as }: Store, first: number): Program {
  const shift = BigInt(8 * (at - first));
  const hole = ((1n << BigInt(8 * bytes.length)) - 1n) << shift;
  return [
    ['mov', 'rax', mem('rbx', first)],
    ['movabs', 'rcx', BigInt.asUintN(64, ~hole)],
    ['and', 'rax', 'rcx'],
    ['movabs', 'rcx', number64(bytes) << shift],
    ['or', 'rax', 'rcx'],
    as === 'locked' ? ['xchg', mem('rbx', first), 'rax'] : ['mov', mem('rbx', first), 'rax'],
  ];
}
