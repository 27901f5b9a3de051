// What a user's compiler reads of this package: the declarations that the public ones lead to. They
// are read before everything is built upon them, so each file more is time for every user, and a
// reason to need a newer TypeScript. A new one is added here by intent.

import { posix } from 'node:path';

const OF_PROTOCOLS = ['base/addr', 'base/fault', 'plan/protocol', 'plan/ways'];
/** By door, what may be read: below dist/, without the ends of their names. */
export const READ: Readonly<Record<string, readonly string[]>> = {
  index: [
    ...OF_PROTOCOLS,
    'app/counted',
    'app/index',
    'app/types',
    'app/wanted',
    'plan/protocols/index',
  ],
  'check/index': [
    ...OF_PROTOCOLS,
    'check/ask/asked',
    'check/ask/check',
    'check/ask/ladder',
    'check/ask/zoo-page',
    'check/configuration',
    'check/explain/replay',
    'check/properties',
    'check/result',
    'machine/sim/promises',
    'machine/sim/settings',
    'trap/entry',
    'zoo/system',
  ],
};

/**
 * All that a declaration leads to, itself left out.
 * @param text of a declaration, by its path
 */
export function read(door: string, text: (file: string) => string): string[] {
  const seen = new Set([door]);
  for (const file of seen)
    for (const [, path] of text(file).matchAll(/(?:from|import\()\s*'(\.[^']+)\.js'/g))
      seen.add(posix.join(posix.dirname(file), path ?? ''));
  return [...seen].filter((file) => file !== door).toSorted();
}
