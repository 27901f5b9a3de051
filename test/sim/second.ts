// A second model of one thread and one patcher, written from docs/internals/checker.md and the manuals
// and from nothing else: it imports nothing of the simulator, interprets no machine code and reduces
// nothing. It is brute force over the same steps. A call of five bytes goes to A, then to B, then to C;
// a breakpoint's handler reads the table and calls what it names.

export interface Store {
  readonly do: 'write';
  readonly at: number;
  readonly bytes: number;
  readonly from: 'trap' | 'old' | 'new';
  readonly as: 'one' | 'exchange' | 'bytes';
}
export type Do =
  | Store
  | { readonly do: 'publish' | 'sync' | 'stop' }
  | { readonly do: 'release'; readonly serialise: boolean }
  | { readonly do: 'store-head'; readonly bytes: readonly number[] };

/**
 * F0 fetches the newest bytes, F1 too, one chunk at an instant, ascending; F3 any since the CPU
 * serialised, whole by chunks of so many bytes.
 */
export interface Setting {
  readonly fetch: 'F0' | 'F1' | 'F3';
  readonly chunk: number;
  readonly tso: boolean;
  readonly updates: number;
  readonly passes: number;
  readonly offset: number;
}

export const WORDS = ['torn', 'target', 'after-update', 'deadlock'] as const;
export type Word = (typeof WORDS)[number];
export type Verdict = 'holds' | 'fails' | 'unknown';

const CALLS = [0x01020304, 0x05060708, 0x090a0b0c].map((distance) => [
  0xe8,
  ...[0, 8, 16, 24].map((shift) => (distance >>> shift) & 0xff),
]);
const LINE = 64;

interface Piece {
  readonly at: number;
  readonly bytes: readonly number[];
}
/** What the patcher does at one instant. */
type Op =
  | ({ readonly op: 'text'; readonly locked: boolean } & Piece)
  | { readonly op: 'table' | 'publish' | 'return'; readonly target: number }
  | { readonly op: 'stopped' }
  | { readonly op: 'sync' | 'stop' | 'release'; readonly serialise: boolean };

interface State {
  readonly pc: number;
  readonly buffer: readonly number[];
  readonly memory: readonly number[];
  /** By piece, what its bytes were since the CPU serialised, the newest last. */
  readonly seen: readonly (readonly (readonly number[])[])[];
  readonly table: number;
  readonly current: number;
  readonly replaced: number;
  readonly left: number;
  readonly at: 'fetch' | 'fetched' | 'trapped' | 'calls' | 'done' | 'torn';
  readonly bytes: readonly number[];
  readonly goes: number;
  readonly since: number | null;
  readonly allowed: number;
  readonly late: number;
  readonly held: 'no' | 'asked' | 'yes';
}

const bit = (target: number): number => 1 << target;

// prettier-ignore
const FIRST: State = {
  pc: 0, buffer: [], memory: CALLS[0]!, seen: [], table: 0, current: bit(0), replaced: 0,
  left: 0, at: 'fetch', bytes: [], goes: 0, since: null, allowed: 0, late: 0, held: 'no',
};

/** The steps of all updates, taken apart. */
function operations(steps: readonly Do[], { updates, offset }: Setting): readonly Op[] {
  const ops: Op[] = [];
  /** One store, cut where a line ends. */
  const text = (at: number, bytes: readonly number[], locked: boolean): void => {
    // A LOCKed store is one over the end of a line too.
    const cut = locked ? bytes.length : Math.max(0, LINE - offset - at);
    const [low, high] = [bytes.slice(0, cut), bytes.slice(cut)];
    if (low.length > 0) ops.push({ op: 'text', at, bytes: low, locked });
    if (high.length > 0) ops.push({ op: 'text', at: at + low.length, bytes: high, locked });
  };
  for (let target = 1; target <= updates; target++) {
    const old = CALLS[target - 1]!;
    const sources = { old, new: CALLS[target]!, trap: [0xcc, ...old.slice(1)] };
    for (const step of steps)
      switch (step.do) {
        case 'publish':
          ops.push({ op: 'publish', target }, { op: 'table', target });
          break;
        case 'write': {
          const bytes = sources[step.from].slice(step.at, step.at + step.bytes);
          if (step.as === 'bytes')
            for (const [i, byte] of bytes.entries()) text(step.at + i, [byte], false);
          else text(step.at, bytes, step.as === 'exchange');
          break;
        }
        case 'store-head':
          text(0, step.bytes, false);
          break;
        case 'stop':
          ops.push({ op: 'stop', serialise: false }, { op: 'stopped' });
          break;
        default:
          ops.push({ op: step.do, serialise: 'serialise' in step && step.serialise });
      }
    ops.push({ op: 'return', target });
  }
  return ops;
}

class Machine {
  readonly #ops: readonly Op[];
  readonly #setting: Setting;
  /** Which bytes of the call lie in each piece. */
  readonly #pieces: readonly (readonly number[])[];
  /** The same of the bytes that some step writes. */
  readonly #written: readonly (readonly number[])[];
  readonly broken = new Set<Word>();

  constructor(steps: readonly Do[], setting: Setting) {
    this.#ops = operations(steps, setting);
    this.#setting = setting;
    const pieces = new Map<number, number[]>();
    for (let i = 0; i < 5; i++) {
      const unit = Math.floor((setting.offset + i) / setting.chunk);
      pieces.set(unit, [...(pieces.get(unit) ?? []), i]);
    }
    this.#pieces = [...pieces.values()];
    const writes = (i: number): boolean =>
      this.#ops.some((op) => op.op === 'text' && i >= op.at && i < op.at + op.bytes.length);
    this.#written = this.#pieces
      .map((piece) => piece.filter(writes))
      .filter(({ length }) => length > 0);
  }

  first(): State {
    return this.#serialised({ ...FIRST, left: this.#setting.passes });
  }
  ended({ pc, buffer, at }: State): boolean {
    return at === 'torn' || (pc === this.#ops.length && buffer.length === 0 && at === 'done');
  }
  #serialised(state: State): State {
    const seen = this.#pieces.map((piece) => [piece.map((i) => state.memory[i]!)]);
    return { ...state, seen };
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
    const empty = state.buffer.length === 0;
    switch (op.op) {
      case 'text':
      case 'table':
        if (this.#setting.tso && !(op.op === 'text' && op.locked))
          return [...flushed, { ...on, buffer: [...state.buffer, state.pc] }];
        return empty ? [this.#reaches(state.pc, on)] : flushed;
      case 'publish':
        return [...flushed, this.#published(on, bit(op.target))];
      case 'return': {
        // What this update published is all that may be called from here.
        const gone = (state.replaced | state.current) & ~bit(op.target);
        return [...flushed, { ...on, current: bit(op.target), replaced: gone }];
      }
      case 'sync':
        return empty ? [this.#thrown(this.#serialised(on))] : flushed;
      case 'stop':
        return empty ? [{ ...on, held: 'asked' }] : flushed;
      case 'stopped':
        return empty && state.held !== 'asked' ? [on] : flushed;
      case 'release': {
        const freed = this.#thrown({ ...on, held: 'no' });
        return empty ? [op.serialise ? this.#serialised(freed) : freed] : flushed;
      }
    }
  }

  /** A pass under way may run what is published meanwhile. */
  #published(state: State, target: number): State {
    const since = state.since === null ? null : state.since | target;
    const { current, replaced } = state;
    return { ...state, current: current | target, replaced: replaced & ~target, since };
  }

  /** A store of the patcher is in memory. */
  #reaches(number: number, state: State): State {
    const op = this.#ops[number]!;
    if (op.op === 'table') return { ...state, table: op.target };
    if (op.op !== 'text') throw new Error('only stores are buffered');
    const memory = state.memory.map((byte, i) => op.bytes[i - op.at] ?? byte);
    const seen = state.seen.map((versions, p) => {
      const piece = this.#pieces[p]!;
      const touched = piece.some((i) => i >= op.at && i < op.at + op.bytes.length);
      const content = piece.map((i) => memory[i]!);
      if (!touched) return versions;
      if (this.#setting.fetch !== 'F3') return [content];
      const older = versions.filter((version) => version.join() !== content.join());
      return [...older.sort((a, b) => (a.join() < b.join() ? -1 : 1)), content];
    });
    return { ...state, memory, seen };
  }

  /** What was fetched and not executed is fetched again. */
  #thrown(state: State): State {
    return state.at === 'fetch' || state.at === 'fetched'
      ? { ...state, at: 'fetch', bytes: [] }
      : state;
  }

  #thread(state: State): readonly State[] {
    if (state.held === 'yes') return [];
    const held: readonly State[] =
      state.held === 'asked' ? [this.#thrown({ ...state, held: 'yes' })] : [];
    switch (state.at) {
      case 'fetch':
        return [...held, ...this.#fetch(state)];
      case 'fetched':
        return [...held, ...this.#execute(state)];
      case 'trapped':
        return [...held, { ...this.#begins(state), at: 'calls', goes: state.table }];
      case 'calls':
        return [...held, this.#enters(state)];
      default:
        return held;
    }
  }

  #fetch(state: State): readonly State[] {
    const unread = this.#written.find((piece) => state.bytes[piece[0]!] === undefined);
    if (this.#setting.fetch === 'F1' && unread !== undefined) {
      // Bytes that no step writes are the same at any instant.
      const bytes = [...state.bytes];
      for (const i of unread) bytes[i] = state.memory[i]!;
      const opened = { ...state, bytes, since: state.since ?? state.current };
      const all = this.#written.every((piece) => bytes[piece[0]!] !== undefined);
      return [
        all
          ? this.#decoded(
              opened,
              state.memory.map((byte, i) => bytes[i] ?? byte),
            )
          : opened,
      ];
    }
    const ways = state.seen.reduce<readonly (readonly (readonly number[])[])[]>(
      (before, versions) => before.flatMap((way) => versions.map((version) => [...way, version])),
      [[]],
    );
    return ways.map((way) => this.#decoded(state, way.flat()));
  }

  /** The pass begins with its first fetch; a call that is fetched whole begins too. */
  #decoded(state: State, bytes: readonly number[]): State {
    const opened = { ...state, since: state.since ?? state.current, bytes, at: 'fetched' as const };
    return isCall(bytes) ? this.#begins(opened) : opened;
  }
  #begins(state: State): State {
    return { ...state, allowed: state.since ?? 0, late: state.replaced };
  }
  #execute(state: State): readonly State[] {
    const { bytes } = state;
    if (bytes[0] === 0xcc) return [{ ...this.#serialised(state), at: 'trapped', bytes: [] }];
    if (bytes[0] === 0xeb && bytes[1] === 0xfe) return [{ ...state, at: 'fetch', bytes: [] }];
    if (!isCall(bytes)) {
      this.broken.add('torn');
      return [{ ...state, at: 'torn' }];
    }
    return [this.#enters({ ...state, goes: callOf(bytes), bytes: [] })];
  }

  /** The target is entered, and comes back; the next pass follows. */
  #enters(state: State): State {
    if ((state.allowed & bit(state.goes)) === 0) this.broken.add('target');
    if ((state.late & bit(state.goes)) !== 0) this.broken.add('after-update');
    const left = state.left - 1;
    const cleared = { since: null, allowed: 0, late: 0, goes: 0 };
    return { ...state, ...cleared, left, at: left === 0 ? 'done' : 'fetch' };
  }
}

const callOf = (bytes: readonly number[]): number =>
  CALLS.findIndex((call) => call.join() === bytes.join());
const isCall = (bytes: readonly number[]): boolean => callOf(bytes) >= 0;

/** Every state is visited; then those are sought from which no end is left. */
export function verdicts(steps: readonly Do[], setting: Setting): Record<Word, Verdict> {
  const machine = new Machine(steps, setting);
  const numbers = new Map<string, number>();
  const states: State[] = [];
  const into: number[][] = [];
  const ends: number[] = [];
  const visit = (state: State): number => {
    const key = JSON.stringify(state);
    const known = numbers.get(key);
    if (known !== undefined) return known;
    numbers.set(key, states.length);
    into.push([]);
    return states.push(state) - 1;
  };
  visit(machine.first());
  for (let i = 0; i < states.length; i++) {
    if (machine.ended(states[i]!)) ends.push(i);
    for (const state of machine.next(states[i]!)) into[visit(state)]!.push(i);
  }
  const reaching = new Set(ends);
  for (const end of reaching) for (const from of into[end]!) reaching.add(from);
  if (reaching.size < states.length) machine.broken.add('deadlock');
  const other = machine.broken.has('torn') ? 'unknown' : 'holds';
  const verdict = (word: Word): Verdict => (machine.broken.has(word) ? 'fails' : other);
  return Object.fromEntries(WORDS.map((word) => [word, verdict(word)])) as Record<Word, Verdict>;
}
