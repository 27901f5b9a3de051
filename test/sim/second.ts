// A second model of one thread and one patcher, written from docs/internals/checker.md and the
// manuals and from nothing else: it imports nothing of the simulator, interprets no machine code
// and reduces nothing. A call of five bytes goes to A, then B, then C; a breakpoint's handler reads
// the table and calls what it names. With two keys the thread passes a site of each; the first
// update changes the first, from A to B, the next the other, from C to D.

export type Do =
  | {
      readonly do: 'write';
      readonly at: number;
      readonly bytes: number;
      readonly from: 'trap' | 'old' | 'new';
      readonly as: 'one' | 'exchange' | 'bytes';
    }
  | { readonly do: 'publish' | 'sync' | 'grace' | 'stop' }
  | { readonly do: 'release'; readonly serialise: boolean }
  | { readonly do: 'store-head'; readonly bytes: readonly number[] };

/** F0 fetches all at one instant, F1 by chunks, ascending; F3 chunks as of any time since. */
export interface Setting {
  readonly fetch: 'F0' | 'F1' | 'F3';
  readonly chunk: number;
  readonly tso: boolean;
  readonly updates: number;
  readonly passes: number;
  readonly offset: number;
  readonly keys: 1 | 2;
}

export const WORDS = ['torn', 'target', 'after-update', 'deadlock'] as const;
export type Word = (typeof WORDS)[number];
export type Verdict = 'holds' | 'fails' | 'unknown';

type Bytes = readonly number[];
const CALLS: readonly Bytes[] = [1, 5, 9, 13].map((n) => [0xe8, n + 3, n + 2, n + 1, n]);
const [LINE, CALL] = [64, 5];
/** By number of keys and key, its target at the start and after each update. */
const TURNS = { 1: ['ABC'], 2: ['ABB', 'CCD'] } as const;
const targetsOf = ({ keys, updates }: Setting): readonly Bytes[] =>
  TURNS[keys].map((all) => Array.from(all.slice(0, updates + 1), (name) => 'ABCD'.indexOf(name)));

/** What the patcher does at one instant; bytes of the second site follow those of the first. */
type Op =
  | { readonly op: 'text'; readonly at: number; readonly bytes: Bytes; readonly locked: boolean }
  | { readonly op: 'table' | 'publish' | 'return'; readonly target: number; readonly key: number }
  | { readonly op: 'sync' | 'grace' | 'stop' | 'stopped' | 'release'; readonly serialise: boolean };

interface State {
  readonly pc: number;
  readonly buffer: Bytes;
  readonly memory: Bytes;
  /** By piece, what its bytes were since the CPU serialised, the newest last. */
  readonly seen: readonly (readonly Bytes[])[];
  /** By key, what it calls; then sets of targets. */
  readonly table: Bytes;
  readonly current: number;
  readonly replaced: number;
  /** Calls that the thread has yet to make, the last of them of the last key. */
  readonly left: number;
  readonly at: 'fetch' | 'fetched' | 'trapped' | 'calls' | 'torn';
  readonly bytes: Bytes;
  readonly goes: number;
  /** What may have been called since the pass began; null where none is under way. */
  readonly since: number | null;
  readonly allowed: number;
  readonly late: number;
  readonly held: 'no' | 'asked' | 'yes';
}
const OVER = { since: null, allowed: 0, late: 0, goes: 0 };
const siteOf = (byte: number): number => Math.floor(byte / CALL);
const bit = (target: number): number => 1 << target;
const setOf = (targets: Bytes): number => targets.reduce((set, each) => set | bit(each), 0);
const callOf = (bytes: Bytes): number => CALLS.findIndex((call) => call.join() === bytes.join());

const storedBy = (op: Op): Bytes => ('at' in op ? op.bytes.map((_, i) => op.at + i) : []);

/** The steps of all updates, taken apart. */
function operations(steps: readonly Do[], setting: Setting): readonly Op[] {
  const ops: Op[] = [];
  for (let update = 1; update <= setting.updates; update++) {
    const key = setting.keys === 2 ? update - 1 : 0;
    /** One store, cut where a line ends; a LOCKed store is one over the end of a line too. */
    const text = (from: number, bytes: Bytes, locked = false): void => {
      const cut = locked ? bytes.length : Math.max(0, LINE - setting.offset - from);
      const at = CALL * key + from;
      ops.push({ op: 'text', at, bytes: bytes.slice(0, cut), locked });
      ops.push({ op: 'text', at: at + cut, bytes: bytes.slice(cut), locked });
    };
    const targets = targetsOf(setting)[key]!;
    const target = targets[update]!;
    const old = CALLS[targets[update - 1]!]!;
    const sources = { old, new: CALLS[target]!, trap: [0xcc, ...old.slice(1)] };
    for (const step of steps)
      switch (step.do) {
        case 'publish':
          ops.push({ op: 'publish', target, key }, { op: 'table', target, key });
          break;
        case 'write': {
          const bytes = sources[step.from].slice(step.at, step.at + step.bytes);
          if (step.as !== 'bytes') text(step.at, bytes, step.as === 'exchange');
          else for (const [i, byte] of bytes.entries()) text(step.at + i, [byte]);
          break;
        }
        case 'store-head':
          text(0, step.bytes);
          break;
        default:
          ops.push({ op: step.do, serialise: 'serialise' in step && step.serialise });
          if (step.do === 'stop') ops.push({ op: 'stopped', serialise: false });
      }
    ops.push({ op: 'return', target, key });
  }
  return ops.filter((op) => op.op !== 'text' || op.bytes.length > 0);
}

class Machine {
  readonly #ops: readonly Op[];
  readonly #setting: Setting;
  /** By key, a set of its targets. */
  readonly #own: Bytes;
  /** Which bytes lie in each piece that is fetched whole. */
  readonly #pieces: readonly Bytes[];
  readonly broken = new Set<Word>();

  constructor(steps: readonly Do[], setting: Setting) {
    this.#ops = operations(steps, setting);
    this.#setting = setting;
    this.#own = targetsOf(setting).map(setOf);
    const pieces = new Map<number, number[]>();
    const { chunk, offset } = setting;
    const unitOf = (i: number) => Math.floor((2 * LINE * siteOf(i) + offset + (i % CALL)) / chunk);
    const written = new Set(this.#ops.flatMap(storedBy).map(unitOf));
    for (let i = 0, unit = 0; i < CALL * setting.keys; i++) {
      // What no step writes is the same at any instant.
      if (i % CALL === 0 || written.has(unitOf(i))) unit = unitOf(i);
      pieces.set(unit, [...(pieces.get(unit) ?? []), i]);
    }
    this.#pieces = [...pieces.values()];
  }

  first(): State {
    const { keys, passes } = this.#setting;
    const table = targetsOf(this.#setting).map(([target]) => target!);
    const memory = table.flatMap((target) => CALLS[target]!);
    const sets = { ...OVER, table, current: setOf(table), replaced: 0 };
    const idle = { pc: 0, buffer: [], bytes: [], at: 'fetch', held: 'no', seen: [] } as const;
    return this.#serialised({ ...idle, ...sets, memory, left: keys * passes });
  }
  ended({ pc, buffer, at, left }: State): boolean {
    return at === 'torn' || (pc === this.#ops.length && buffer.length === 0 && left === 0);
  }
  #serialised(state: State): State {
    return { ...state, seen: this.#pieces.map((piece) => [piece.map((i) => state.memory[i]!)]) };
  }

  /** Every state that may come next; none where the thread executed a mixture. */
  next(state: State): readonly State[] {
    return state.at === 'torn' ? [] : [...this.#patcher(state), ...this.#thread(state)];
  }
  #patcher(state: State): readonly State[] {
    const [oldest, ...buffer] = state.buffer;
    const flushed = oldest === undefined ? [] : [this.#reaches(oldest, { ...state, buffer })];
    const op = this.#ops[state.pc];
    if (op === undefined) return flushed;
    const on = { ...state, pc: state.pc + 1 };
    /** What waits until the buffer is empty. */
    const drained = (...after: State[]) => (state.buffer.length > 0 ? flushed : after);
    switch (op.op) {
      case 'text':
      case 'table':
        if (!this.#setting.tso || (op.op === 'text' && op.locked))
          return drained(this.#reaches(state.pc, on));
        return [...flushed, { ...on, buffer: [...state.buffer, state.pc] }];
      case 'publish': {
        // A pass under way may run what is published meanwhile.
        const now = bit(op.target);
        const since = on.since === null ? null : on.since | now;
        const [current, replaced] = [on.current | now, on.replaced & ~now];
        return [...flushed, { ...on, current, replaced, since }];
      }
      case 'return': {
        // Of its key, what this update published is all that may be called from here.
        const now = bit(op.target) | (on.current & ~this.#own[op.key]!);
        return [...flushed, { ...on, current: now, replaced: (on.replaced | on.current) & ~now }];
      }
      case 'sync':
        return drained(thrown(this.#serialised(on)));
      case 'grace':
        return drained(...(state.since === null ? [on] : []));
      case 'stop':
        return drained({ ...on, held: 'asked' });
      case 'stopped':
        return drained(...(state.held === 'asked' ? [] : [on]));
      case 'release':
        return drained(thrown({ ...(op.serialise ? this.#serialised(on) : on), held: 'no' }));
    }
  }

  /** A store of the patcher is in memory. */
  #reaches(number: number, state: State): State {
    const op = this.#ops[number]!;
    if (op.op === 'table') return { ...state, table: state.table.with(op.key, op.target) };
    if (op.op !== 'text') throw new Error('only stores are buffered');
    const memory = state.memory.map((byte, i) => op.bytes[i - op.at] ?? byte);
    const seen = state.seen.map((versions, p) => {
      const piece = this.#pieces[p]!;
      if (!piece.some((i) => i >= op.at && i < op.at + op.bytes.length)) return versions;
      const content = piece.map((i) => memory[i]!);
      if (this.#setting.fetch !== 'F3') return [content];
      const older = versions.filter((version) => version.join() !== content.join());
      return [...older.sort((a, b) => (a.join() < b.join() ? -1 : 1)), content];
    });
    return { ...state, memory, seen };
  }

  #thread(state: State): readonly State[] {
    if (state.held === 'yes') return [];
    const held = state.held === 'asked' ? [thrown({ ...state, held: 'yes' })] : [];
    switch (state.at) {
      case 'fetch':
        return state.left === 0 ? held : [...held, ...this.#fetch(state)];
      case 'fetched':
        return [...held, this.#execute(state)];
      case 'trapped':
        return [...held, { ...begun(state), at: 'calls', goes: state.table[this.#key(state)]! }];
      case 'calls':
        return [...held, this.#enters(state)];
      case 'torn':
        return [];
    }
  }
  /** Of the call that comes next. */
  readonly #key = ({ left }: State): number => left % this.#setting.keys;

  #fetch(state: State): readonly State[] {
    const key = this.#key(state);
    const here = [...this.#pieces.keys()].filter((p) => siteOf(this.#pieces[p]![0]!) === key);
    const opened = { ...state, since: state.since ?? state.current };
    if (this.#setting.fetch === 'F1') {
      const p = here.find((each) => this.#pieces[each]![0]! % CALL === state.bytes.length)!;
      return [decoded(opened, [...state.bytes, ...state.seen[p]!.at(-1)!])];
    }
    const ways = here.reduce<readonly Bytes[]>(
      (before, p) => before.flatMap((way) => state.seen[p]!.map((version) => [...way, ...version])),
      [[]],
    );
    return ways.map((way) => decoded(opened, way));
  }

  #execute(state: State): State {
    const { bytes } = state;
    if (bytes[0] === 0xcc) return { ...this.#serialised(state), at: 'trapped', bytes: [] };
    if (bytes[0] === 0xeb && bytes[1] === 0xfe) return { ...state, at: 'fetch', bytes: [] };
    if (callOf(bytes) >= 0) return this.#enters({ ...state, goes: callOf(bytes), bytes: [] });
    this.broken.add('torn');
    return { ...state, at: 'torn' };
  }

  /** The target is entered, and comes back; the next pass follows. */
  #enters(state: State): State {
    const goes = bit(state.goes);
    if ((state.allowed & this.#own[this.#key(state)]! & goes) === 0) this.broken.add('target');
    if ((state.late & goes) !== 0) this.broken.add('after-update');
    return { ...state, ...OVER, left: state.left - 1, at: 'fetch' };
  }
}

/** What was fetched and not executed is fetched again. */
const thrown = (state: State): State =>
  state.at === 'fetched' || state.at === 'fetch' ? { ...state, at: 'fetch', bytes: [] } : state;

const begun = (pass: State): State => ({ ...pass, allowed: pass.since ?? 0, late: pass.replaced });

/** A call that is fetched whole begins. */
function decoded(state: State, bytes: Bytes): State {
  if (bytes.length < CALL) return { ...state, bytes };
  const whole = { ...state, bytes, at: 'fetched' as const };
  return callOf(bytes) >= 0 ? begun(whole) : whole;
}

/** Every state is visited; then those are sought from which no end is left. */
export function verdicts(steps: readonly Do[], setting: Setting): Record<Word, Verdict> {
  const machine = new Machine(steps, setting);
  const known = new Map<string, { readonly state: State; readonly from: string[] }>();
  const visit = (state: State, ...from: string[]): void => {
    const key = JSON.stringify(state);
    const there = known.get(key);
    if (there === undefined) known.set(key, { state, from });
    else there.from.push(...from);
  };
  visit(machine.first());
  for (const [key, { state }] of known) for (const next of machine.next(state)) visit(next, key);
  const reaching = new Set<string>();
  for (const [key, { state }] of known) if (machine.ended(state)) reaching.add(key);
  for (const end of reaching) for (const from of known.get(end)!.from) reaching.add(from);
  if (reaching.size < known.size) machine.broken.add('deadlock');
  const other = machine.broken.has('torn') ? 'unknown' : 'holds';
  const verdict = (word: Word): Verdict => (machine.broken.has(word) ? 'fails' : other);
  return Object.fromEntries(WORDS.map((word) => [word, verdict(word)])) as Record<Word, Verdict>;
}
