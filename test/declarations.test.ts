// What a user's compiler reads of this package: the declarations that the public ones lead to. They
// are read before everything is built upon them, so each file more is time for every user, and a
// reason to need a newer TypeScript. A new one is added here by intent.

import { readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { describe, expect, it } from 'vitest';

const OF_PROTOCOLS = ['base/addr', 'base/fault', 'plan/protocol', 'plan/ways'];
const READ: Readonly<Record<string, readonly string[]>> = {
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

/** All that a declaration leads to, itself left out. */
function read(door: string, text: (file: string) => string): string[] {
  const seen = new Set([door]);
  for (const file of seen)
    for (const [, path] of text(file).matchAll(/(?:from|import\()\s*'(\.[^']+)\.js'/g))
      seen.add(posix.join(posix.dirname(file), path ?? ''));
  return [...seen].filter((file) => file !== door).toSorted();
}
const built = (file: string): string => readFileSync(join('dist', `${file}.d.ts`), 'utf8');

describe('the declarations', () => {
  it.each(Object.entries(READ))('of %s lead to no file inside', (door, files) => {
    expect(read(door, built)).toEqual(files.toSorted());
  });

  it('would be seen to lead there', () => {
    const tree: Readonly<Record<string, string>> = {
      'a/index': "export type { A } from './a.js';\n",
      'a/a': "import { type B } from '../b/b.js';\nexport type A = import('./c.js').C<B>;\n",
      'a/c': '',
      'b/b': "import type { A } from '../a/a.js';\n",
    };
    expect(read('a/index', (file) => tree[file] ?? '')).toEqual(['a/a', 'a/c', 'b/b']);
  });
});
