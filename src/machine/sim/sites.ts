// The functions with a site, and the targets: which bytes each site holds before the first update
// and after every one, by the same table as a process's (plan/transform.ts).

import { LINE, type Addr } from '../../base/addr.js';
import { invariant } from '../../base/invariant.js';
import { assemble } from '../../asm/assembler.js';
import { decode } from '../../asm/decode.js';
import { INT3 } from '../../asm/table.js';
import { Batch } from '../../plan/batch.js';
import { wayOf } from '../../plan/way.js';
import { formOf, transformOf, type TargetKind, type Transform } from '../../plan/transform.js';
import { isBranch, type SiteKind } from '../../sites/site.js';
import { bytesOf, leadsToFresh, walk, type ParsedState, type ParsedText } from '../../plan/text.js';
import { emulationWord } from '../../trap/registry.js';
import { SITE_FORMS, emit } from '../../x86/forms.js';
import { CALLED, type Code, type Span } from './code.js';
import { type FixtureOptions } from './options.js';
import { SHAPES, TARGETS, type TargetName } from './settings.js';
import { tour, type Sequence } from './tour.js';
import { STUBS, pointerCaller, targetCode } from './programs.js';
import type { Space } from './space.js';

export interface FixtureSite {
  readonly at: Addr;
  readonly kind: SiteKind;
  readonly length: number;
  /** Of a conditional jump, 0 to 15; else 0. */
  readonly condition: number;
  /** Whether some step may write it; where only a pointer changes, none does. */
  readonly patched: boolean;
  /** By offset, the instructions that may be executed there, as joined bytes. */
  readonly meant: ReadonlyMap<number, ReadonlySet<string>>;
  /** Offset at which a pass begins. */
  readonly entry: number;
  /** Offsets that a call of the site's may return to. */
  readonly returns: ReadonlySet<number>;
  /** Registers that its own instructions change. */
  readonly changes: ReadonlySet<string>;
  /** What a handler is told in each state, where the protocol brings the text. */
  readonly emulate: readonly bigint[] | null;
  /** The targets that it is sent to at the start and by each update. */
  readonly targets: readonly TargetName[];
  /** A set of the targets of its key. */
  readonly own: number;
  /** Full contents of the site before the first update, and after each. */
  readonly contents: readonly (readonly number[])[];
  /** Code at a place of its own that the site leads to; its instructions are among `meant`. */
  readonly fresh: FreshCode | null;
  /** By which way each update changes it, as a bit of WAY; 0 where the protocol has one way. */
  readonly ways: readonly number[];
}

/** Where fresh code lies, and what that place holds before the first update and after each. */
interface FreshCode {
  readonly at: Addr;
  readonly length: number;
  readonly contents: readonly (readonly number[])[];
}

export interface PlacedSites {
  readonly sites: readonly FixtureSite[];
  /** The targets that successive updates set, the initial one first. */
  readonly states: readonly TargetName[];
  readonly nodes: Sequence['nodes'];
  readonly restarts: Sequence['restarts'];
  /** Where each target begins, by its number. */
  readonly targets: ReadonlyMap<Addr, number>;
  /** The functions' names. */
  readonly functions: readonly [string, ...string[]];
  readonly retpoline: Span;
}

/** Offset in the data of the pointer that the baselines call through. */
export const POINTER = 0;

/**
 * Distances from the end of the first site. Every byte of one differs from the same byte of the
 * others, so that any mixture shows.
 */
const DISTANCES = {
  A: 0x01020304,
  B: 0x05060708,
  C: 0x090a0b0c,
  return: 0x0d0e0f10,
  return0: 0x11121314,
  D: 0x15161718,
  /** To a line's end near by. */
  fresh: 0x191a1b80,
} as const;

const FUNCTIONS = ['A', 'B', 'C', 'D'] as const;
/** Two keys: the first update changes the one, the second the other. */
const TURNS: readonly (readonly [TargetName, TargetName, TargetName])[] = [
  ['A', 'B', 'B'],
  ['C', 'C', 'D'],
];
/** What each of these updates sets. */
const IN_TURNS = ['A', 'B', 'D'] as const;
const TRAMPOLINE: SiteForm = { kind: 'jmp', length: 5, condition: 0 };

const RET = 0xc3;
const NOP = 0x90;

/** The first instruction of these bytes, joined. */
export function firstOf(bytes: readonly number[]): string {
  const insn = decode(bytes);
  invariant(typeof insn !== 'string', 'a site holds an instruction');
  return bytes.slice(0, insn.length).join();
}

/** A branch that jumps goes to A, and one that does not has no target. */
function kindOf(kind: SiteKind, target: TargetName): TargetKind {
  if (isBranch(kind)) return (target === 'null') === (kind === 'unless') ? 'on' : 'off';
  return target === 'null' || target === 'ret0' ? target : 'function';
}

/** What a branch keeps in both of its forms. */
const jumpTo = (at: Addr, target: Addr): readonly number[] => [
  ...emit(SITE_FORMS.jmp, { at, target }),
];

function destination(code: Code, { to }: Transform, target: TargetName): Addr | null {
  if (to === null) return null;
  if (to === 'own') return code.labelled('A');
  return code.labelled(to === 'target' ? target : to);
}

/** What decides what a site holds. */
type SiteForm = Pick<FixtureSite, 'kind' | 'length' | 'condition'>;

/** The site's bytes when it is sent to a target, from what stands there. */
function contentsOf(
  code: Code,
  { kind, length, condition }: SiteForm,
  at: Addr,
  target: TargetName,
  over: readonly number[],
): readonly number[] {
  const wanted = kindOf(kind, target);
  return [
    ...emit(formOf(kind, wanted, length), {
      at,
      target: destination(code, transformOf(kind, wanted), target),
      condition,
      over,
    }),
  ];
}

/**
 * What stands at a site before its first state. A site that begins as off keeps a displacement that
 * leads to none of the targets, as one does that was off before.
 */
function unpatched(code: Code, form: SiteForm, at: Addr): readonly number[] {
  if (isBranch(form.kind)) return jumpTo(at, code.labelled('A'));
  const elsewhere = { at, target: code.labelled('return'), condition: form.condition };
  return [...emit(formOf(form.kind, 'function', form.length), elsewhere)];
}

/** The site's bytes in every state. */
function statesOf(
  code: Code,
  form: SiteForm,
  at: Addr,
  states: readonly TargetName[],
  restarts: Sequence['restarts'],
): (readonly number[])[] {
  let over = unpatched(code, form, at);
  return states.map((target, i) => {
    if (restarts.has(i)) over = unpatched(code, form, at);
    return (over = contentsOf(code, form, at, target, over));
  });
}

/**
 * What may be executed of a form that keeps its rest: its opcode before any mixture of bytes that
 * stand there in some state.
 */
function kept(
  contents: readonly (readonly number[])[],
  states: readonly TargetName[],
  { kind, length }: SiteForm,
): string[] {
  return states.flatMap((target, state) => {
    const form = formOf(kind, kindOf(kind, target), length);
    if (!form.keeps) return [];
    const mixed = contents[state]!.reduce<readonly (readonly number[])[]>(
      (before, byte, b) => {
        const values = form.mask[b] === 0 ? new Set(contents.map((each) => each[b]!)) : [byte];
        return before.flatMap((bytes) => [...values].map((value) => [...bytes, value]));
      },
      [[]],
    );
    return mixed.map(firstOf);
  });
}

/** The way of every update, by the rule that a process has (plan/way.ts). */
function waysOf(
  at: Addr,
  kind: SiteKind,
  contents: readonly (readonly number[])[],
  allowed: number,
): number[] {
  return contents.map((bytes, state) => {
    if (allowed === 0 || state === 0) return 0;
    const edit = new Batch(1);
    edit.count = 1;
    edit.at[0] = at;
    edit.length[0] = bytes.length;
    edit.old.set(contents[state - 1]!);
    edit.new.set(bytes);
    return wayOf(edit, 0, kind, allowed);
  });
}

/**
 * What the handler is told to do at a site of that kind, as one word.
 * @param listed an entry for each site, which says where its jump leads; a key's record does not
 */
export function emulationOf(
  code: Code,
  kind: SiteKind,
  target: TargetName,
  listed: boolean,
): bigint {
  const transform = transformOf(kind, kindOf(kind, target));
  const away = destination(code, transform, target) ?? 0;
  if (listed && transform.emulate === 'taken') return BigInt(emulationWord('jmp', away));
  if (listed && transform.emulate === 'passed') return BigInt(emulationWord('nop'));
  return BigInt(emulationWord(transform.emulate, away));
}

/**
 * One site in f, which the task and its interrupts call; with two functions, another in g, which
 * NMIs and signals call.
 */
export function placeSites(code: Code, options: FixtureOptions, space: Space): PlacedSites {
  const { via, text } = options;
  const shape = shapeOf(options);
  const second = options.second ?? options;
  const functions: readonly [string, ...string[]] = options.functions === 2 ? ['f', 'g'] : ['f'];
  const places = functions.map((name, i) => {
    const { kind, length, condition } = i === 0 || options.text ? shape : SHAPES[second.site];
    const at = space.text + 0x2000 + i * 0x80 + (i === 0 ? options : second).offset;
    code.name(name, at + (options.text?.entry ?? 0));
    return { name, at, form: { kind, length, condition }, trampoline: space.text + 0x2800 + 8 * i };
  });
  const [f] = places;
  invariant(f !== undefined, 'there is a function');
  const origin = (via === 'trampoline' ? f.trampoline : f.at) + shape.length;
  const targets = placeTargets(code, options, origin);
  const { targets: states, nodes, restarts } = sequenceOf(code, options, places);
  const heads = options.heads.map(firstOf);
  const site = (at: Addr, form: SiteForm, key: KeyOfSite) => {
    const contents = statesOf(code, form, at, key.targets, restarts);
    const ways = waysOf(at, form.kind, contents, options.ways);
    const meant = new Set([
      ...contents.map(firstOf),
      ...kept(contents, key.targets, form),
      String(INT3),
      ...heads,
    ]);
    const only = single(form.length, meant);
    return { at, ...form, ...PLAIN, ...key, patched: true, contents, ways, ...only };
  };
  let retpoline: Span = { from: 0, to: 0 };
  const sites = places.map(({ name, at, form, trampoline }, i): FixtureSite => {
    const key = keyOf(options, states, i);
    switch (via) {
      case 'site': {
        const placed = text === null ? site(at, form, key) : textSite(code, text, at, key, heads);
        const [bytes = []] = placed.contents;
        // A conditional jump that is not taken goes on behind the site.
        put(code, name, at, form.kind === 'jmp' && text === null ? bytes : [...bytes, RET]);
        if (placed.fresh !== null) {
          const { at: there, contents } = placed.fresh;
          put(code, `${name}.fresh`, there, contents[0] ?? []);
        }
        return placed;
      }
      case 'trampoline': {
        // It is aligned to 8, so its jump is always inside one quadword.
        const placed = site(trampoline, TRAMPOLINE, key);
        put(code, name, at, [...emit(SITE_FORMS.call, { at, target: trampoline }), RET]);
        put(code, `${name}.trampoline`, trampoline, placed.contents[0] ?? []);
        code.name(`${name}.trampoline`, trampoline);
        return placed;
      }
      case 'pointer':
      case 'retpoline': {
        const placed = placePointer(code, name, at, via === 'retpoline', space.data + POINTER);
        ({ retpoline } = placed);
        const contents = states.map(() => []);
        const ways = contents.map(() => 0);
        const meant = new Set([firstOf([NOP])]);
        const { length } = placed;
        const only = single(length, meant);
        return { at, ...shape, ...PLAIN, ...key, length, patched: false, contents, ways, ...only };
      }
    }
  });
  return { sites, states, nodes, restarts, targets, functions, retpoline };
}

/** Where each target begins, by its number; and the two stubs. */
function placeTargets(
  code: Code,
  { program, keys, targets: named }: FixtureOptions,
  origin: Addr,
): Map<Addr, number> {
  const fourth = keys === 2 || named.includes('D');
  const targets = new Map<Addr, number>();
  for (const name of FUNCTIONS.filter((each) => each !== 'D' || fourth)) {
    const at = origin + DISTANCES[name];
    code.add(name, at, program?.target(name) ?? targetCode(name));
    targets.set(at, TARGETS.indexOf(name));
  }
  for (const name of ['return', 'return0'] as const)
    code.add(name, origin + DISTANCES[name], STUBS[name]);
  return targets;
}

/** The states that updates bring all sites to. */
function sequenceOf(
  code: Code,
  { via, site, text, updates, targets, keys }: FixtureOptions,
  places: readonly { readonly at: Addr; readonly form: SiteForm; readonly trampoline: Addr }[],
): Sequence {
  if (updates !== 'any') {
    const inOrder = keys === 2 ? IN_TURNS.slice(0, updates + 1) : statesIn(site, text, updates);
    return { targets: inOrder, nodes: null, restarts: new Set() };
  }
  const patched = {
    site: places,
    trampoline: places.map(({ trampoline }) => ({ at: trampoline, form: TRAMPOLINE })),
    pointer: [],
    retpoline: [],
  }[via].map(({ at, form }) => ({ at, form, bytes: unpatched(code, form, at) }));
  return tour(targets, patched, (sites, target) =>
    sites.map(({ at, form, bytes }) => ({
      at,
      form,
      bytes: contentsOf(code, form, at, target, bytes),
    })),
  );
}

/** A set of targets, as a bit for each. */
export const setOf = (...targets: readonly TargetName[]): number =>
  targets.reduce((set, target) => set | (1 << TARGETS.indexOf(target)), 0);

type KeyOfSite = Pick<FixtureSite, 'targets' | 'own'>;
const ALL_TARGETS = setOf(...TARGETS);

/** Where the nth site is sent, by its own key or by the one that it shares. */
function keyOf({ keys }: FixtureOptions, states: readonly TargetName[], n: number): KeyOfSite {
  const turns = keys === 2 ? TURNS[n] : undefined;
  if (turns === undefined) return { targets: states, own: ALL_TARGETS };
  return { targets: turns.slice(0, states.length), own: setOf(...turns) };
}

/** What only a text of the protocol's own has. */
const PLAIN = { entry: 0, changes: new Set<string>(), emulate: null, fresh: null } as const;

/** A site of one instruction. */
const single = (length: number, meant: ReadonlySet<string>) => ({
  meant: new Map([[0, meant]]),
  returns: new Set([length]),
});

/** Kind and length of the first site. */
function shapeOf({ site, text }: FixtureOptions): SiteForm {
  if (text === null) return SHAPES[site];
  return { kind: text.ends === 'behind' ? 'call' : 'jmp', length: text.length, condition: 0 };
}

/** The targets that successive updates set; the states of a text come in turn. */
function statesIn(
  site: FixtureOptions['site'],
  text: ParsedText | null,
  updates: number,
): readonly TargetName[] {
  if (text === null) return SHAPES[site].sequence.slice(0, updates + 1);
  return Array.from({ length: updates + 1 }, (_, i) => inTurn(text, i).runs);
}

const inTurn = ({ states }: ParsedText, update: number): ParsedState =>
  states[update % states.length]!;

/**
 * A text that the protocol brings: a thread may stand wherever an instruction of some state begins.
 */
function textSite(
  code: Code,
  text: ParsedText,
  at: Addr,
  key: KeyOfSite,
  heads: readonly string[],
): FixtureSite {
  const { length, entry, ends, changes } = text;
  const contents: number[][] = [];
  const fresh = freshAt(code, text, at + length);
  const meant = new Map<number, Set<string>>([[0, new Set([String(INT3), ...heads])]]);
  const returns = new Set<number>();
  const places: Readonly<Record<string, Addr>> = { fresh: fresh.at, end: at + length };
  const distance = (to: string, end: Addr): number => (places[to] ?? code.labelled(to)) - end;
  for (const update of key.targets.keys()) {
    const state = inTurn(text, update);
    const from = (start: Addr) => (to: string, end: number) => distance(to, start + end);
    const bytes = bytesOf(state.bytes, contents.at(-1) ?? [], from(at));
    const there = bytesOf(state.fresh, fresh.contents.at(-1) ?? [], from(fresh.at));
    contents.push(bytes);
    fresh.contents.push(there);
    const pieces = [
      { from: 0, bytes },
      { from: fresh.at - at, bytes: there },
    ];
    const walked = walk(pieces, entry, state.trap);
    for (const [offset, insn] of walked.starts)
      meant.set(offset, (meant.get(offset) ?? new Set<string>()).add(insn.join()));
    for (const offset of walked.returns) returns.add(offset);
  }
  const kind = ends === 'behind' ? 'call' : 'jmp';
  const emulate = contents.map((_, update) => emulated(code, kind, at, inTurn(text, update)));
  const ways = contents.map(() => 0);
  const form = { kind, length, condition: 0, changes: new Set(changes), entry } as const;
  const own = { meant, returns, emulate, fresh: fresh.length === 0 ? null : fresh };
  return { at, ...form, ...key, patched: true, contents, ways, ...own };
}

/** Where fresh code lies: over the end of a line, so that it is fetched in two pieces. */
function freshAt(code: Code, { freshLength: length }: ParsedText, origin: Addr) {
  const line = Math.ceil((origin + DISTANCES.fresh) / LINE) * LINE;
  const at = line - (length >> 1);
  if (length > 0) code.name('fresh', at);
  const contents: number[][] = [];
  return { at, length, contents };
}

/** What a handler is told of a trap in a state. */
function emulated(code: Code, kind: 'call' | 'jmp', at: Addr, state: ParsedState): bigint {
  const { trap, runs } = state;
  if (trap === 'ret') return BigInt(emulationWord('ret'));
  if (typeof trap === 'number') return BigInt(emulationWord('jmp', at + trap));
  if (leadsToFresh(state)) return BigInt(emulationWord(kind, code.labelled('fresh')));
  if (runs === 'null' || runs === 'ret0') return BigInt(emulationWord('nop'));
  return BigInt(emulationWord(kind, code.labelled(runs)));
}

/** A function that calls through a pointer: how long its site is, and where its retpoline lies. */
function placePointer(code: Code, name: string, at: Addr, thunk: boolean, pointer: Addr) {
  const { bytes, cfa, labels } = assemble(pointerCaller(thunk), { at, symbols: { pointer } });
  code.put({ name, at, bytes, cfa: [...CALLED, ...cfa], exempt: [] });
  const offset = (name: string): number => labels.get(name) ?? 0;
  const retpoline = { from: at + offset('retpoline'), to: at + offset('retpoline.end') };
  return { length: offset('end'), retpoline };
}

function put(code: Code, name: string, at: Addr, bytes: readonly number[]): void {
  code.put({ name, at, bytes: Uint8Array.from(bytes), cfa: CALLED, exempt: [] });
}
