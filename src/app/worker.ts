// The thread that serves static_call_update() of the C side. It sleeps in a futex until a request
// comes, and does what `update` does, by the same engine and under the same lock, whatever the
// thread that opened the program is busy with. It ends when the word `server` is taken from it.

import { workerData } from 'node:worker_threads';
import { FUTEX } from '../base/linux.js';
import { isFault, type FaultCode } from '../base/fault.js';
import type { Addr } from '../base/addr.js';
import { Runtime } from '../machine/process/runtime.js';
import { openNative } from '../machine/linux/native.js';
import { allRecords, type KeyRecord } from '../machine/process/records.js';
import { TrapWatch } from '../machine/process/signals.js';
import { REQUEST, RETURNS } from '../trap/registry.js';
import { Engine } from '../machine/process/engine.js';
import type { ServerData } from './server.js';
import type { Target } from '../plan/target.js';

/** What C is told; any other fault is EIO. */
const ERRNO: Partial<Record<FaultCode, number>> = {
  'null-refused': 22, // EINVAL
  'ret0-refused': 22,
  'unknown-key': 2, // ENOENT
  'trap-blocked': 16, // EBUSY
  'handler-replaced': 16,
  'foreign-trap': 16,
  'no-memory': 12, // ENOMEM
};
const EIO = 5;

/**
 * Functions that do nothing but return 0, with and without a landing pad: whichever copy of it C
 * names.
 */
const RETURN0 = ['f30f1efa31c0c3', '31c0c3'] as const;

const { protocol, writer, trustProcmem, ready } = workerData as ServerData;
const native = openNative();
const runtime = new Runtime(native);
const engine = new Engine(runtime, new TrapWatch(runtime), {
  writer,
  trustProcmem,
});
const byKey = new Map<Addr, KeyRecord>();

function recordOf(key: Addr): KeyRecord | undefined {
  if (!byKey.has(key))
    for (const record of allRecords(runtime)) byKey.set(Number(record.word('key')), record);
  return byKey.get(key);
}

/** What C means by a function pointer; negative where the key cannot take it. */
function targetFor(record: KeyRecord, func: Addr): Target | FaultCode {
  const returns = RETURNS[Number(record.word('returns'))];
  if (func === 0)
    return returns === 'void' || returns === 'unknown'
      ? { kind: 'null', address: 0 }
      : 'null-refused';
  const bytes = Buffer.from(new Uint8Array(native.view(func, 8))).toString('hex');
  if (returns === 'integer' && RETURN0.some((code) => bytes.startsWith(code)))
    return { kind: 'ret0', address: 0 };
  return { kind: 'function', address: func };
}

function serve(key: Addr, func: Addr): number {
  const record = recordOf(key);
  if (!record || record.word('users') === 0n) return -(ERRNO['unknown-key'] ?? EIO);
  const to = targetFor(record, func);
  if (typeof to === 'string') return -(ERRNO[to] ?? EIO);
  try {
    runtime.locked(() =>
      engine.apply([{ name: `the key at 0x${key.toString(16)}`, record, to }], protocol),
    );
    return 0;
  } catch (error) {
    if (!isFault(error)) throw error;
    return -(ERRNO[error.code] ?? EIO);
  }
}

/** Requests taken at once, in the order in which they came. */
function taken(): { at: Addr; key: Addr; func: Addr }[] {
  const requests: { at: Addr; key: Addr; func: Addr }[] = [];
  for (let at = runtime.take('requests'); at !== 0;) {
    const words = new BigUint64Array(native.view(at, REQUEST.size));
    requests.unshift({
      at,
      key: Number(words[REQUEST.key / 8]),
      func: Number(words[REQUEST.func / 8]),
    });
    at = Number(words[REQUEST.next / 8]);
  }
  return requests;
}

runtime.ring('server', 1);
Atomics.store(ready, 0, 1);
Atomics.notify(ready, 0);
for (;;) {
  const bell = runtime.half('doorbell');
  for (const { at, key, func } of taken()) {
    const answer = new Int32Array(native.view(at + REQUEST.state, 8));
    answer[1] = serve(key, func);
    // The last touch: from here the request's memory is its owner's again. Waking a stranger's word
    // is harmless.
    Atomics.store(answer, 0, 1);
    native.call('futex', at + REQUEST.state, FUTEX.wakePrivate, 1);
  }
  if (runtime.half('server') === 0) break;
  runtime.sleep('doorbell', bell);
}
