// A trap handler of a kernel that a protocol brings itself, as text: only what it does for a CALL,
// and the code that it sends the interrupted context to. Entry, look-up and the way out are the
// same for every handler (zoo/breakpoint.ts).
//
//   mov rcx, [saved.flags]     a row of the assembler's table with its operands
//   lea rcx, [rip.B]           where a label lies
//   movabs rdx, @B             the same as a number
//   cmp byte [rdi-5], 204      one byte of memory or code
//   je go                      a label of these rows, or one of OUTSIDE
//   go:                        a label
//   .quad @end                 eight bytes with that number
//   .caller rsp+8              from here the caller's frame begins there; `.caller none`, nowhere

import {
  AssemblyError,
  assemble,
  cfa,
  gs,
  label,
  mem,
  mem8,
  quad,
  rip,
  word,
  type Item,
  type Program,
  type R64,
  type Word,
} from '../asm/assembler.js';
import { W64, register } from '../asm/operand.js';
import { Fault } from '../base/fault.js';
import { FRAME, PERCPU } from '../trap/kernel.js';
import type { OwnHandler } from './protocol.js';

export interface ParsedHandler {
  readonly call: Program;
  readonly jump: Program | null;
  readonly after: Program;
  /** GS offsets of those words. */
  readonly stash: readonly number[];
}

/** Words of the CPU's own that a handler may name. */
export const SLOTS: number = (PERCPU.size - PERCPU.slots) / 8;
/** Labels that are there: the targets, the way out, and where a trap of others goes. */
const OUTSIDE: readonly string[] = ['A', 'B', 'C', 'exit', 'unclaimed'];
/** A number, the end of the site. */
const NUMBERS: readonly string[] = ['A', 'B', 'C', 'end'];
/** Before the labels of its own rows, which may have the names of others. */
const OWN = 'own.';
const LISTS = ['call', 'jump', 'after'] as const;

const slotAt = (n: number): number => PERCPU.slots + 8 * n;
const isSaved = (name: string): name is keyof typeof FRAME => Object.hasOwn(FRAME, name);
const baseOf = (name: string): R64 | undefined => W64.find((known) => known === name);

/** @throws Fault `bad-protocol`, naming the row */
export function parseHandler(handler: OwnHandler): ParsedHandler {
  const rows = LISTS.flatMap((list) =>
    (handler[list] ?? []).map((text, i) => ({ list, text, at: `handler.${list}[${i}]` })),
  );
  const own = new Set(rows.flatMap(({ text }) => /^(\w+):$/.exec(text)?.[1] ?? []));
  const items = rows.map((row) => ({ ...row, item: itemOf(row.text, row.at, own) }));
  checked(items);
  const of = (list: (typeof LISTS)[number]): Program =>
    items.filter((row) => row.list === list).map(({ item }) => item);
  return {
    call: of('call'),
    jump: handler.jump === undefined ? null : of('jump'),
    after: of('after'),
    stash: Array.from({ length: handler.slots ?? 0 }, (_, n) => slotAt(n)),
  };
}

const refused = (at: string, text: string, why: string): Fault =>
  new Fault('bad-protocol', `${at}, ${text}: ${why}`, { at });

/** The assembler knows each row, and each label that it goes to. */
function checked(
  rows: readonly { readonly item: Item; readonly text: string; readonly at: string }[],
) {
  const symbols = Object.fromEntries(OUTSIDE.map((name) => [name, 0]));
  try {
    assemble(
      rows.map(({ item }) => item),
      { symbols },
    );
  } catch (error) {
    if (!(error instanceof AssemblyError)) throw error;
    const [, position, what = error.message] = /^item (\d+)[^:]*: (.*)$/s.exec(error.message) ?? [];
    const row = rows[Number(position)];
    if (row !== undefined) throw refused(row.at, row.text, what);
    throw new Fault('bad-protocol', `handler: ${error.message}`, { at: 'handler' });
  }
}

function itemOf(text: string, at: string, own: ReadonlySet<string>): Item {
  const named = /^(\w+):$/.exec(text)?.[1];
  if (named !== undefined) return label(OWN + named);
  if (text === '.caller none') return cfa({ kind: 'none' });
  const value = numberOf(/^\.quad (.+)$/.exec(text)?.[1]);
  if (value !== undefined) return quad(value);
  const frame = /^\.caller (\w+)\+(\d+)$/.exec(text);
  const base = baseOf(frame?.[1] ?? '');
  if (base !== undefined) return cfa({ kind: 'call', base, offset: Number(frame?.[2]) });
  const [, lock, name, rest = ''] = /^(lock )?(\w+)(?: (.+))?$/.exec(text) ?? [];
  if (name === undefined) throw refused(at, text, 'is no row of the assembler');
  const operands =
    rest === '' ? [] : rest.split(', ').map((each) => operandOf(each, at, text, own));
  // The assembler itself says which rows there are.
  return [...(lock === undefined ? [] : ['lock']), name, ...operands] as unknown as Item;
}

function operandOf(operand: string, at: string, text: string, own: ReadonlySet<string>): unknown {
  if (register(operand) !== undefined) return operand;
  if (/^-?(0x[0-9a-f]+|\d+)$/.test(operand)) return Number(operand);
  const to = (name: string): string => (own.has(name) ? OWN + name : name);
  const number = numberOf(operand);
  if (number !== undefined) return number;
  const [, byte, inside] = /^(byte )?\[(.+)\]$/.exec(operand) ?? [];
  const isLabel = own.has(operand) || OUTSIDE.includes(operand);
  const of = byte === undefined ? memoryOf : byteOf;
  const place = inside === undefined ? undefined : of(inside, to);
  const found = isLabel ? to(operand) : place;
  if (found !== undefined) return found;
  throw refused(at, text, `${operand} is no register, number, place or label of it`);
}

/** `@B`. */
function numberOf(text: string | undefined): Word | undefined {
  const name = /^@(\w+)$/.exec(text ?? '')?.[1];
  return name !== undefined && NUMBERS.includes(name) ? word(name) : undefined;
}

/** `saved.rip`, `slot3`, `rip.label`, `rsp+8`. */
function memoryOf(inside: string, to: (name: string) => string): unknown {
  const [, kind, name] = /^(saved|rip)\.(\w+)$/.exec(inside) ?? [];
  if (kind === 'rip' && name !== undefined) return rip(to(name));
  if (kind === 'saved' && name !== undefined && isSaved(name)) return mem('rsp', FRAME[name]);
  const slot = /^slot(\d+)$/.exec(inside)?.[1];
  if (slot !== undefined && Number(slot) < SLOTS) return gs(slotAt(Number(slot)));
  return placeOf(inside, mem);
}
/** One byte, of code too. */
const byteOf = (inside: string): unknown => placeOf(inside, mem8);

/** `rsp+8`. */
function placeOf(inside: string, of: (base: R64, distance: number) => unknown): unknown {
  const [, by, sign = '+', distance = '0'] = /^(\w+?)(?:([+-])(\d+))?$/.exec(inside) ?? [];
  const base = baseOf(by ?? '');
  return base === undefined ? undefined : of(base, Number(`${sign}${distance}`));
}
