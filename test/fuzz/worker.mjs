// Runs cases of one target in a thread, so that whoever started it can see which case it is in and
// stop it.

import { parentPort, workerData } from 'node:worker_threads';
import { isFault } from '#base/fault';
import { Random } from './random.mjs';

const { targets, target: name, seed, first, last, at, slowMs } = workerData;
const { TARGETS } = await import(targets);
const current = new Int32Array(at);
const target = TARGETS.find((t) => t.name === name);
const seeds = await target.seeds();
const tally = { ok: 0, refused: {}, findings: [] };

/** In processor time: on a busy machine the clock goes on while nothing of this runs. */
async function once(input) {
  const began = process.cpuUsage();
  try {
    await target.run(input);
    tally.ok++;
  } catch (error) {
    if (!isFault(error)) throw error;
    tally.refused[error.code] = (tally.refused[error.code] ?? 0) + 1;
  }
  const { user, system } = process.cpuUsage(began);
  return (user + system) / 1000;
}

for (let i = first; i < last; i++) {
  Atomics.store(current, 0, i);
  const random = new Random(Math.imul(seed, 0x85ebca6b) ^ i);
  const input = target.mutate(random.pick(seeds), random);
  try {
    // A collection of garbage may make one run slow; a slow input makes all of them slow.
    if (
      (await once(input)) > slowMs &&
      (await once(input)) > slowMs &&
      (await once(input)) > slowMs
    )
      tally.findings.push({ case: i, what: `takes more than ${slowMs} ms` });
  } catch (error) {
    tally.findings.push({
      case: i,
      what: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
    if (tally.findings.length >= 20) break;
  }
}
parentPort.postMessage(tally);
