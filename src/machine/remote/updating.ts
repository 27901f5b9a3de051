// An update, written down for a thread of the target to perform: protocol, transaction and stores
// are those of this process.

import type { Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import type { Edits, KeyChanges } from '../../plan/batch.js';
import type { Protocol } from '../../plan/protocol.js';
import { DATA } from '../../trap/registry.js';
import { SYNC_CORE } from '../linux/membarrier.js';
import type { Machine } from '../machine.js';
import { ProcessMachine } from '../process/process.js';
import { ProcmemStores } from '../process/procmem.js';
import type { Group } from '../process/records.js';
import { Script } from '../process/script.js';
import { transact, Unfinished } from '../transact.js';
import { Run } from './run.js';
import type { RemoteRuntime } from './runtime.js';

/** The stores of a run, in a text of the target. */
class RemoteText extends ProcmemStores {
  readonly #run: Run;
  readonly #runtime: RemoteRuntime;
  constructor(run: Run, runtime: RemoteRuntime, start: Addr, end: Addr) {
    super(run, start, end);
    this.#run = run;
    this.#runtime = runtime;
  }
  read(at: Addr, length: number): Uint8Array {
    return this.#runtime.target.read(at, length);
  }
  protected write(script: Script, from: Addr, size: number, at: Addr): void {
    script.using(this.#run.fileAt, 'pwrite', size, from, size, at);
  }
}

/** Sites of a group, and what stands there when the update is done. */
export interface Mirrored {
  readonly group: Group;
  readonly drawn: Uint8Array;
}

/** What performs the steps of an update, and what surrounds them in its run. */
export function written(
  runtime: RemoteRuntime,
  mirrored: readonly Mirrored[],
  added: readonly { readonly at: Addr; readonly bytes: Uint8Array }[],
): { readonly run: Run; readonly machine: ProcessMachine } {
  const { data, routines, handler } = runtime;
  const run = new Run(runtime);
  const machine = new ProcessMachine({ native: run, routines, handler }, Infinity);
  for (const { group } of mirrored)
    machine.addText(new RemoteText(run, runtime, group.start, group.end));
  // Until the run is over the columns do not say what stands in the text.
  run.begin.word(data + DATA.stale, 1);
  // A CPU may hold bytes that no synchronisation has taken from it, after a run that ended early.
  if (runtime.word('unsynced') !== 0n) run.begin.system('membarrier', 0, SYNC_CORE);
  run.begin.word(data + DATA.unsynced, 1);
  run.adds(added);
  for (const { group, drawn } of mirrored)
    run.end.copy(
      run.addressOf(drawn),
      group.at + group.columns.batch.old.byteOffset,
      8 * group.columns.batch.count,
    );
  run.end.word(data + DATA.stale, Number(runtime.word('stale')));
  run.end.word(data + DATA.unsynced, 0);
  run.counts();
  return { run, machine };
}

/** @throws Fault `update-failed`, `update-parked`, `update-mixed`, and what a run throws */
export function performed(
  runtime: RemoteRuntime,
  protocol: Protocol,
  edits: Edits,
  previous: KeyChanges,
  machine: Machine,
): void {
  try {
    transact(protocol, edits, previous, machine);
  } catch (error) {
    if (!(error instanceof Unfinished)) throw error;
    outdate(runtime);
    const step = protocol.steps[error.step];
    const code = error.end === 'parked' ? 'update-parked' : 'update-failed';
    throw new Fault(
      error.end === 'mixed' ? 'update-mixed' : code,
      `${error.message} (${step?.do}: ${step?.why})`,
      { cause: error.cause },
    );
  }
}

/** An update ended early: whatever others have read is no longer so. */
function outdate(runtime: RemoteRuntime): void {
  try {
    const run = new Run(runtime);
    run.counts();
    new Script(run, runtime.routines).perform();
  } catch {
    // Another came first, and has seen what stands there; or the target is gone.
  }
}
