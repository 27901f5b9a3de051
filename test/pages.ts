// Which test runs each command and snippet of the README and of docs/. tidy.test.ts refuses a block
// that has none.

import { blocks } from './readme.js';

/** By page; a page of several tests tells by the names of its blocks. */
export const RUN_BY: Readonly<Record<string, string | Readonly<Record<string, string>>>> = {
  'README.md': 'test/docs.test.ts',
  'docs/adopting.md': {
    'pointers.c': 'test/pages.long.ts',
    'recipes.c': 'test/process/recipes.test.ts',
    'recipes.mjs': 'test/process/recipes.test.ts',
    'spies.ts': 'test/process/spies.long.ts',
    ...Object.fromEntries(
      ['link-only', 'pkg-config', 'CMakeLists.txt', 'cmake', 'meson.build', 'meson', 'ccache'].map(
        (name) => [name, 'test/cside/builds.test.ts'],
      ),
    ),
    ...Object.fromEntries(
      (
        'lto configure.ac Makefile.am autotools binding.gyp node-gyp filters.cppm modules ' +
        'filters.rs rust sanitizers valgrind preload'
      )
        .split(' ')
        .map((name) => [name, 'test/cside/recipes.long.ts']),
    ),
  },
  'docs/api.md': 'test/api.long.ts',
  'docs/argument.md': 'test/check/argument.test.ts',
  'docs/attach.md': {
    'attach.ts': 'test/pages.long.ts',
    trace: 'test/remote/trace.long.ts',
    stop: 'test/remote/stop.long.ts',
  },
  'docs/cmake.md': 'test/package.long.ts',
  'docs/counterexamples.md': 'test/check/verdicts.long.ts',
  'docs/fetch32.md': 'test/process/litmus.long.ts',
  'docs/performance.md': 'test/bench/performance.test.ts',
  'docs/proof.md': {
    any: 'test/pages.long.ts',
    certificate: 'test/pages.long.ts',
    promela: 'test/pages.long.ts',
    hosts: 'test/cli/queue.long.ts',
  },
  'docs/protocols.md': 'test/pages.long.ts',
  'docs/runtime.md': 'test/runtime/docs.test.ts',
  'docs/silicon.md': 'test/process/litmus.long.ts',
  'docs/zoo.md': 'test/check/zoo.long.ts',
};

/**
 * Blocks of pages that no test runs, tests that are not there, and names that no block has.
 * @param pages path to text
 * @param runBy as RUN_BY
 * @param isThere whether a path is a test
 */
export function unrun(
  pages: ReadonlyMap<string, string>,
  runBy: typeof RUN_BY,
  isThere: (path: string) => boolean,
): string[] {
  const complaints: string[] = [];
  for (const [page, text] of pages) {
    const by = runBy[page] ?? {};
    const shown = blocks(text);
    for (const { name, body } of shown) {
      const test = typeof by === 'string' ? by : by[name];
      if (test === undefined || !isThere(test))
        complaints.push(`${page}: no test runs ${name} (${body.split('\n', 1)[0]})`);
    }
    const names = new Set(shown.map(({ name }) => name));
    const gone = typeof by === 'string' ? [] : Object.keys(by).filter((name) => !names.has(name));
    complaints.push(...gone.map((name) => `${page}: there is no block ${name}`));
  }
  return complaints;
}
