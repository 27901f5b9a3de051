// Searches for a queue, on any number of hosts.

import { availableParallelism, hostname } from 'node:os';
import { EXIT } from '../../base/fault.js';
import { version } from '../../host/version.js';
import { work } from '../../check/queue/worker.js';
import type { Context } from '../context.js';

/** A main thread that searches nothing is not silent for so long, however busy its machine is. */
const SILENT_SECONDS = 30;

export interface Flags {
  readonly queue: string;
  readonly threads?: number;
  readonly silent?: number;
}

export async function run(context: Context, flags: Flags): Promise<number> {
  const { queue, threads = availableParallelism(), silent = SILENT_SECONDS } = flags;
  await work({
    address: queue,
    version: version(),
    name: `${hostname()}-${process.pid}`,
    threads,
    silentMs: 1000 * silent,
    signal: context.signal,
    say: (text) => context.note(text),
  });
  return EXIT.good;
}
