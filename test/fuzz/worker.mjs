// Runs cases of one target in a thread, so that whoever started it can see which case it is in and stop it.

import { parentPort, workerData } from 'node:worker_threads';
import { isFault } from '#base/fault';
import { Random } from './random.mjs';
import { TARGETS } from './targets.mjs';

const { target: name, seed, first, last, at, slowMs } = workerData;
const current = new Int32Array(at);
const target = TARGETS.find((t) => t.name === name);
const seeds = await target.seeds();
const tally = { ok: 0, refused: {}, findings: [] };

async function once(input) {
  const began = performance.now();
  try {
    await target.run(input);
    tally.ok++;
  } catch (error) {
    if (!isFault(error)) throw error;
    tally.refused[error.code] = (tally.refused[error.code] ?? 0) + 1;
  }
  return performance.now() - began;
}

for (let i = first; i < last; i++) {
  Atomics.store(current, 0, i);
  const random = new Random(Math.imul(seed, 0x85ebca6b) ^ i);
  const input = target.mutate(random.pick(seeds), random);
  try {
    // A busy machine makes one run slow; a slow input makes all of them slow.
    if ((await once(input)) > slowMs && (await once(input)) > slowMs && (await once(input)) > slowMs) tally.findings.push({ case: i, what: `takes more than ${slowMs} ms` });
  } catch (error) {
    tally.findings.push({ case: i, what: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    if (tally.findings.length >= 20) break;
  }
}
parentPort.postMessage(tally);
