// Which test runs each command and snippet of the README and of docs/. tidy.test.ts refuses a block
// that has none.

import { blocks } from './readme.js';
import { commandsOf } from './reader.js';

/** By page; a page of several tests tells by the names of its blocks, `*` for the others. */
export const RUN_BY: Readonly<Record<string, string | Readonly<Record<string, string>>>> = {
  'README.md': 'test/docs.test.ts',
  'docs/adopting.md': {
    'recipes.c': 'test/process/recipes.test.ts',
    'recipes.mjs': 'test/process/recipes.test.ts',
    'spies.ts': 'test/process/spies.long.ts',
    '*': 'test/pages.long.ts',
  },
  'docs/api.md': 'test/docs.test.ts',
  'docs/argument.md': 'test/pages.long.ts',
  'docs/attach.md': 'test/pages.long.ts',
  'docs/cmake.md': 'test/package.long.ts',
  'docs/counterexamples.md': 'test/check/verdicts.long.ts',
  'docs/fetch32.md': 'test/pages.long.ts',
  'docs/performance.md': 'test/bench/performance.test.ts',
  'docs/proof.md': { hosts: 'test/cli/queue.long.ts', '*': 'test/pages.long.ts' },
  'docs/protocols.md': 'test/pages.long.ts',
  'docs/runtime.md': 'test/pages.long.ts',
  'docs/silicon.md': 'test/pages.long.ts',
  'docs/zoo.md': 'test/check/zoo.long.ts',
};

interface Need {
  readonly command: RegExp;
  /** What a user without root may lack. */
  readonly what: string;
  /** How the block, or the paragraph before it, says so. */
  readonly said: RegExp;
}

/**
 * Commands that a user with a compiler and this package may be unable to run: the only ones that
 * `pages.long.ts` leaves out.
 */
export const NEEDS: readonly Need[] = [
  // With a registry: test/clone.long.ts and test/package.long.ts.
  { command: /^npm (install|start)/, what: 'the registry of npm', said: /npm (install|start)/ },
  { command: /^apt /, what: 'root, to install a program', said: /as root/ },
  // With a Redis of the test's: test/cli/queue.long.ts.
  { command: /--queue redis:/, what: 'the Redis of a host', said: /on one host/ },
];

export const needs = (command: string): string | null =>
  NEEDS.find((need) => need.command.test(command))?.what ?? null;

/** Commands that need what their page does not name beside them. */
export function unnamed(pages: ReadonlyMap<string, string>): string[] {
  return [...pages].flatMap(([page, text]) =>
    blocks(text).flatMap((block) => {
      const around = text.slice(0, text.indexOf(block.body)).slice(-400) + block.body;
      return commandsOf(block).flatMap(({ command }) => {
        const need = NEEDS.find((each) => each.command.test(command));
        return need === undefined || need.said.test(around)
          ? []
          : [`${page}: ${command} needs ${need.what}, and the page does not say so`];
      });
    }),
  );
}

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
      const test = typeof by === 'string' ? by : (by[name] ?? by['*']);
      if (test === undefined || !isThere(test))
        complaints.push(`${page}: no test runs ${name} (${body.split('\n', 1)[0]})`);
    }
    const names = new Set(shown.map(({ name }) => name));
    const gone =
      typeof by === 'string'
        ? []
        : Object.keys(by).filter((name) => name !== '*' && !names.has(name));
    complaints.push(...gone.map((name) => `${page}: there is no block ${name}`));
  }
  return complaints;
}
