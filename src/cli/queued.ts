// Searches on this machine, or by the workers of a queue, about which a line is said at the end.

import type { Runner } from '../check/ask/asked.js';
import type { Figures } from '../check/queue/asker.js';
import { version } from '../host/version.js';
import type { Context } from './context.js';

/** What makes the searches, where that is not this machine. */
export interface Made {
  readonly runner?: Runner;
}

/** @throws Fault `no-queue`, `no-queue-client`, `queue-lost`, `queue-version`, `bad-usage` */
export async function withRunner<T>(
  context: Pick<Context, 'note'>,
  address: string | undefined,
  search: (made: Made) => Promise<T>,
): Promise<T> {
  if (address === undefined) return search({});
  // What it needs is optional, so that nothing else loads it.
  const { openQueue } = await import('../check/queue/asker.js');
  const { run: runner, figures, close } = await openQueue(address, version());
  try {
    return await search({ runner });
  } finally {
    await close();
    for (const line of said(figures)) context.note(line);
  }
}

function* said({ searches, workers, retried, stalled, givenUp, left }: Figures): Generator<string> {
  for (const each of givenUp) yield `given up: ${each}`;
  yield (
    `queue: ${searches} searches by ${workers.size} workers, ` +
    `${retried} begun again, ${stalled} of them after their worker was lost`
  );
  if (left > 0) yield `${left} searches are held by a worker, which drops them when it can`;
}
