// The machine that is this very process: steps become operations of a script, which are stores into
// its text, system calls and words of the handler's data. It knows nothing of keys' names or of
// what a batch means.

import { hex } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { SIGTRAP } from '../../base/linux.js';
import { invariant, unreachable } from '../../base/invariant.js';
import type { Addr } from '../../base/addr.js';
import { Batch, type Edits, type KeyChanges } from '../../plan/batch.js';
import type { Protocol, Step } from '../../plan/protocol.js';
import { WAY } from '../../plan/ways.js';
import { RECORD } from '../../trap/registry.js';
import { DISPLACEMENT } from '../../x86/forms.js';
import { Stopped, type Machine, type Side } from '../machine.js';
import { EPERM, registerBarrier, SYNC_CORE } from '../linux/membarrier.js';
import { errorName, type Native } from '../linux/native.js';
import { KERNEL_SIGACTION, replaced } from './signals.js';
import { Script, type Performer, type Routines, type Stop } from './script.js';
import type { StoreStep, Text } from './text.js';

/**
 * Which steps a process can take by itself. Stopping all other threads needs another process, and
 * the rest are steps of proposals that only the checker runs.
 */
const PERFORMED = {
  publish: true,
  store: true,
  sync: true,
  retire: false,
  write: false,
  'store-head': false,
  'store-tail': false,
  'restore-head': false,
  count: false,
  stop: false,
  release: false,
  await: false,
  exchange: false,
  retry: false,
  grace: false,
  emit: false,
} as const satisfies Record<Step['do'], boolean>;

type Performed = {
  [Do in Step['do']]: (typeof PERFORMED)[Do] extends true ? Extract<Step, { do: Do }> : never;
}[Step['do']];

const isPerformed = (step: Step): step is Performed => PERFORMED[step.do];

/** @throws Fault `bad-protocol` where a process cannot run it at all, before anything is begun */
export function checkPerformable(protocol: Protocol): void {
  for (const step of protocol.steps) {
    if (!isPerformed(step)) {
      throw new Fault(
        'bad-protocol',
        `a process cannot perform the step ${step.do} of ${protocol.name}`,
        { hint: 'a process can publish, store and sync; the checker can do more' },
      );
    }
    const { how = 'membarrier' } = step.do === 'sync' ? step : {};
    if (how !== 'membarrier' || step.into !== undefined)
      throw new Fault(
        'bad-protocol',
        `${protocol.name} has a step that only the checker performs`,
        {
          hint: 'a process synchronises by membarrier, and has no states of a text',
        },
      );
    if (step.do === 'store' && step.bytes === 'trap' && protocol.handler === null)
      throw new Fault('bad-protocol', `${protocol.name} plants traps and names no handler`);
  }
  if (protocol.handler !== null && protocol.handler !== 'sigtrap')
    throw new Fault('bad-protocol', `a process has the handler sigtrap, not ${protocol.handler}`);
  checkComplete(protocol);
}

/**
 * An update is told as done when its steps are: so they must publish it and end with its bytes.
 * @throws Fault `bad-protocol`
 */
function checkComplete({ name, steps }: Protocol): void {
  if (!steps.some((step) => step.do === 'publish'))
    throw new Fault(
      'bad-protocol',
      `${name} never publishes: the keys would keep their old targets`,
    );
  const left = { first: 'old', rest: 'old' };
  for (const step of steps) {
    if (step.do !== 'store') continue;
    if (step.part !== 'rest') left.first = step.bytes;
    if (step.part !== 'first') left.rest = step.bytes;
  }
  for (const [part, bytes] of Object.entries(left)) {
    if (bytes !== 'new')
      throw new Fault(
        'bad-protocol',
        `after the last step of ${name} the ${part} of a site is ` +
          `${bytes === 'trap' ? 'the trap' : 'old'}, not new`,
      );
  }
}

/**
 * Edits that are written down before they are performed. Most stores are one operation for all of
 * them; one store of several bytes through /proc/self/mem is three for each site, and a script of a
 * million sites took 300 MB.
 */
const EDITS_AT_ONCE = 16_384;

/** Mark of what is asked before the first step, in the same run: nothing may come in between. */
const ASKED = -1;

/** Mark of what must be so for a script to be performed again. */
export const CONDITION = -2;
/** It is not so. Nothing was begun. */
export class Outdated extends Error {
  override readonly name = 'Outdated';
}

/** What performs the steps: a thread of this process, or one of another process. */
export interface Performing {
  readonly native: Performer & Pick<Native, 'call'>;
  readonly routines: Routines;
  readonly handler: Addr;
}

export class ProcessMachine implements Machine {
  readonly #runtime: Performing;
  readonly #native: Performing['native'];
  readonly #atOnce: number;
  readonly #script: Script;
  readonly #texts: Text[] = [];

  /** What the kernel says is installed. */
  readonly #action: BigUint64Array = new BigUint64Array(KERNEL_SIGACTION.size / 8);
  readonly #actionAt: Addr;

  constructor(runtime: Performing, atOnce: number = EDITS_AT_ONCE) {
    this.#runtime = runtime;
    this.#atOnce = atOnce;
    this.#native = runtime.native;
    this.#script = new Script(runtime.native, runtime.routines);
    this.#actionAt = runtime.native.addressOf(this.#action);
  }

  /** Makes a stretch of text known, or known anew; batches may name sites in any of them. */
  addText(text: Text): void {
    const known = this.#texts.findIndex((t) => t.start === text.start);
    if (known >= 0) this.#texts.splice(known, 1);
    this.#texts.push(text);
    this.#texts.sort((a, b) => a.start - b.start);
  }

  /** @throws Fault `handler-replaced`, with nothing begun */
  begin(protocol: Protocol, edits: Edits): void {
    this.#script.clear();
    this.add(this.#script, protocol, edits);
    this.#flush(this.#script);
  }

  run(steps: readonly Step[], edits: Edits): void {
    this.#script.clear();
    this.#add(this.#script, steps, edits);
    this.#flush(this.#script);
  }

  /**
   * This machine, where a run begins with a script that was written down before. It throws Outdated
   * where the script stops before what `add` has added to it.
   */
  repeating(script: Script): Machine {
    return {
      begin: () => this.#perform(script),
      run: (steps, edits) => this.run(steps, edits),
      unlike: (edits, side) => this.unlike(edits, side),
    };
  }

  /** Writes down what `begin` performs. */
  add(script: Script, { steps, handler }: Protocol, edits: Edits): void {
    if (handler !== null) {
      script.mark(ASKED);
      script.system('rt_sigaction', 0, SIGTRAP, 0, this.#actionAt, KERNEL_SIGACTION.mask);
      script.expect(this.#actionAt + KERNEL_SIGACTION.handler, this.#runtime.handler);
    }
    this.#add(script, steps, edits);
  }

  #add(script: Script, steps: readonly Step[], edits: Edits): void {
    for (const [i, step] of steps.entries()) {
      script.mark(i);
      this.#write(script, step, edits);
    }
  }

  #flush(script: Script): void {
    try {
      this.#perform(script);
    } finally {
      script.clear();
    }
  }

  /** Performs what was written down. */
  #perform(script: Script): void {
    let stop = script.perform();
    // A child of fork has lost the registration of its parent.
    if (
      stop &&
      'call' in stop.what &&
      stop.what.call === 'membarrier' &&
      stop.what.result === EPERM
    ) {
      registerAgain(this.#native, stop.mark);
      stop = script.perform(stop.operation);
    }
    if (!stop) return;
    if (stop.mark === CONDITION) throw new Outdated();
    if (stop.mark === ASKED)
      throw 'call' in stop.what
        ? faultOf(stop)
        : replaced(Number(this.#action[KERNEL_SIGACTION.handler / 8]));
    throw new Stopped(stop.mark, faultOf(stop));
  }

  /** Adds a step to the script. */
  #write(script: Script, step: Step, edits: Edits): void {
    invariant(isPerformed(step), `the step ${step.do} was let through`);
    switch (step.do) {
      case 'publish':
        this.#publish(script, edits.keys);
        return;
      case 'store':
        for (const batch of edits.batches) this.#store(script, step, batch);
        return;
      case 'sync':
        script.system('membarrier', 0, SYNC_CORE);
        return;
      default:
        unreachable(step);
    }
  }

  #publish(script: Script, { count, record, call, tail, jcc, slot, func }: KeyChanges): void {
    for (let k = 0; k < count; k++) {
      if (slot[k]! !== 0) script.wordOf(slot, 0, func, k);
      script.wordOf(record, RECORD.call, call, k);
      script.wordOf(record, RECORD.tail, tail, k);
      script.wordOf(record, RECORD.jcc, jcc, k);
    }
  }

  #store(script: Script, step: StoreStep, batch: Batch): void {
    for (let from = 0; from < batch.count;) {
      const text = this.#textAt(batch.address(from));
      const to = Math.min(firstFrom(batch, from + 1, text.end), from + this.#atOnce);
      text.store(script, step, batch, from, to);
      if (script.count > this.#atOnce) this.#flush(script);
      from = to;
    }
  }

  unlike({ batches, keys }: Edits, side: Side): Edits {
    return { keys, batches: batches.map((batch) => this.#unlike(batch, side)) };
  }

  #unlike(batch: Batch, side: Side): Batch {
    const found = new Batch(batch.count);
    const [one, other] = WANTED[side](batch);
    for (let i = 0; i < batch.count; i++) {
      const [at, length] = [batch.address(i), batch.lengthAt(i)];
      const now = this.#textAt(at).read(at, length);
      const hidden = side === 'off' && (batch.way[i]! & WAY.behind) !== 0 ? DISPLACEMENT : 0;
      let same = true;
      for (let b = 0; same && b < length - hidden; b++)
        same = now[b] === one[8 * i + b] || now[b] === other[8 * i + b];
      if (!same) found.append(batch, i);
    }
    return found;
  }

  #textAt(at: Addr): Text {
    for (const text of this.#texts) if (at >= text.start && at < text.end) return text;
    throw new Fault('bad-site', 'the site is in no text that was opened');
  }
}

/** Either of two, byte for byte. */
const WANTED: Readonly<Record<Side, (batch: Batch) => readonly [Uint8Array, Uint8Array]>> = {
  old: (batch) => [batch.old, batch.old],
  off: (batch) => [batch.old, batch.old],
  new: (batch) => [batch.new, batch.new],
  ours: (batch) => [batch.old, batch.new],
};

function registerAgain(native: Performing['native'], step: number): void {
  try {
    registerBarrier(native);
  } catch (cause) {
    throw new Stopped(step, cause);
  }
}

/** What failed, for people. A seccomp filter may be installed at any time, so any call may. */
function faultOf({ what }: Stop): Fault {
  invariant(!('expected' in what || 'block' in what), 'no step expects a word or has a block');
  if ('batch' in what)
    return new Fault('drift', 'bytes on the site changed while it was being written', {
      at: hex(what.batch.at[what.edit]!),
    });
  const { call, result } = what;
  if (call === 'rt_sigaction')
    return new Fault(
      'not-supported',
      `asking for the SIGTRAP handler is refused: ${errorName(result)}`,
    );
  if (call === 'membarrier')
    return new Fault('no-membarrier', `membarrier failed: ${errorName(result)}`);
  return new Fault(
    'no-text-write',
    result < 0
      ? `writing through /proc/self/mem is refused: ${errorName(result)}`
      : `only ${result} bytes of a piece of text were written`,
  );
}

/**
 * The first edit from `low` on that lies at `end` or behind it. Walking there would cost as much as
 * the stores.
 */
function firstFrom({ at, count }: Batch, low: number, end: Addr): number {
  let high = count;
  if (at[count - 1]! < end) return count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (at[middle]! < end) low = middle + 1;
    else high = middle;
  }
  return low;
}
