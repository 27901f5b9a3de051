// The house keeps its order. Each rule is a function (rules.ts) that is first shown a tree which
// breaks it.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { faultsPage } from '../scripts/faults.mjs';
import long from '../vitest.long.config.js';
import short from '../vitest.config.js';
import { FAULTS } from '#base/fault';
import { line } from './cli/line.js';
import { read, READ } from './declarations.js';
import { RUN_BY, unrun } from './pages.js';
import {
  commands,
  cycles,
  dead,
  dependencies,
  floors,
  glob,
  importsOf,
  names,
  nodeFree,
  uncollected,
  unprovoked,
  words,
  type Collection,
  type Tree,
} from './rules.js';

/**
 * Everything that the repository holds or is about to hold: what .gitignore names is left out, and
 * so is what is not text.
 */
function readTree(): Tree {
  const ignored = readFileSync('.gitignore', 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => ({ rooted: line.startsWith('/'), name: glob(line.replaceAll('/', '')) }));
  const skip = (path: string, name: string): boolean =>
    name === '.git' || ignored.some((line) => line.name.test(line.rooted ? path : name));
  const tree = new Map<string, string>();
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder || '.', { withFileTypes: true })) {
      const path = folder ? `${folder}/${entry.name}` : entry.name;
      if (skip(path, entry.name)) continue;
      if (entry.isDirectory()) walk(path);
      else if (entry.isFile()) tree.set(path, readFileSync(path, 'utf8'));
    }
  };
  walk('');
  return tree;
}
const tree = readTree();
const sources = [...tree.keys()].filter((path) => path.startsWith('src/'));
const manifest = JSON.parse(tree.get('package.json')!) as Record<
  'dependencies' | 'optionalDependencies' | 'peerDependencies',
  Record<string, string>
>;
const declared = Object.keys({
  ...manifest.dependencies,
  ...manifest.optionalDependencies,
  ...manifest.peerDependencies,
});
const none: string[] = [];
const files = (entries: Record<string, string>): Tree => new Map(Object.entries(entries));

describe('sources', () => {
  it('are read at all', () => {
    expect([...tree.keys()]).toEqual(
      expect.arrayContaining(['.ci/run', 'scripts/corpus', 'include/static_call.h']),
    );
    expect(
      [...tree.keys()].filter((path) => /^(dist|node_modules|corpus|\.git)\//.test(path)),
    ).toEqual(none);
    expect(sources.length).toBeGreaterThan(40);
    expect(sources.flatMap((path) => importsOf(tree.get(path)!)).length).toBeGreaterThan(100);
    expect(
      importsOf(
        `import a, { b } from './a.js';\nimport type { C } from '../c.js';\nexport * from './d.js';\nconst e = await import('./e.js');\nnew Worker(new URL('./f.js', import.meta.url));\n// import x from './no.js'\nconst g = createRequire(import.meta.url)('g');\nimport './h.js';\nexport {\n  i,\n} from './i.js';`,
      )
        .map(({ to, typeOnly }) => (typeOnly ? `type ${to}` : to))
        .sort(),
    ).toEqual(['./a.js', './d.js', './e.js', './f.js', './h.js', './i.js', 'g', 'type ../c.js']);
  });

  it('import from their own floor and from lower ones', () => {
    const bad = files({
      'src/base/a.ts': `import { x } from '../elf/read.js';`,
      'src/elf/read.ts': `import type { y } from '../asm/decode.js';`,
      'src/asm/decode.ts': '',
      'src/x86/decode.ts': `import { z } from '../base/gone.js';`,
      'src/machine/sim/cpu.ts': `import { t } from '../process/text.js';`,
      'src/machine/process/text.ts': '',
      'src/machine/machine.ts': `import './sim/cpu.js';`,
      'src/check/explore.ts': `import { t } from '../machine/process/text.js';`,
      'src/cli/main.ts': `await import('../index.js');`,
      'src/index.ts': `export * from './elf/read.js';`,
      'src/attic/a.ts': '',
    });
    expect(floors(bad)).toEqual([
      'src/attic/a.ts is on no floor',
      'src/base/a.ts imports src/elf/read.ts from a higher floor',
      'src/elf/read.ts imports src/asm/decode.ts from the room beside it',
      'src/x86/decode.ts imports src/base/gone.ts, which does not exist',
      'src/machine/sim/cpu.ts imports src/machine/process/text.ts from the room beside it',
      'src/machine/machine.ts imports src/machine/sim/cpu.ts from a higher floor',
      'src/check/explore.ts imports src/machine/process/text.ts, a room that is closed to it',
      'src/cli/main.ts imports the door src/index.ts',
    ]);
    expect(floors(tree)).toEqual(none);
  });

  it('name each outside package in one file', () => {
    const bad = files({
      'src/app/open.ts': `import koffi from 'koffi';`,
      'src/cli/app.ts': `import { run } from '@stricli/core';\nimport left from 'left-pad';`,
    });
    expect(dependencies(bad, ['koffi', '@stricli/core', 'fzstd'])).toEqual([
      'src/app/open.ts imports koffi: src/machine/linux/native.ts may',
      'src/cli/app.ts imports left-pad: no file may',
      'package.json names fzstd, which no source imports',
      'left-pad is imported and package.json does not name it',
    ]);
    expect(dependencies(tree, declared)).toEqual(none);
  });

  it('import nothing of Node where machine code or a model lies', () => {
    const bad = files({
      'src/native/image.ts': `import { readFileSync } from 'node:fs';`,
      'src/machine/process/text.ts': `import { readFileSync } from 'node:fs';`,
      'src/machine/sim/cpu.ts': `import type { Worker } from 'node:worker_threads';`,
    });
    expect(nodeFree(bad)).toEqual([
      'src/native/image.ts imports node:fs, and must run without Node',
      'src/machine/sim/cpu.ts imports node:worker_threads, and must run without Node',
    ]);
    expect(nodeFree(tree)).toEqual(none);
  });

  it('import in no circle', () => {
    const bad = files({
      'src/base/a.ts': `import { b } from './b.js';`,
      'src/base/b.ts': `import { c } from './c.js';`,
      'src/base/c.ts': `export { a } from './a.js';`,
      'src/base/d.ts': `import type { d } from './e.js';`,
      'src/base/e.ts': `import { d } from './d.js';`,
    });
    expect(cycles(bad)).toEqual([
      'src/base/a.ts -> src/base/b.ts -> src/base/c.ts -> src/base/a.ts',
      'src/base/d.ts -> src/base/e.ts -> src/base/d.ts',
    ]);
    expect(cycles(tree)).toEqual(none);
  });

  it('are all reached', () => {
    const bad = files({
      'src/index.ts': `export { a } from './base/a.js';`,
      'src/base/a.ts': '',
      'src/base/b.ts': `import './c.js';`,
      'src/base/c.ts': '',
    });
    expect(dead(bad, ['src/index.ts'])).toEqual([
      'nothing imports src/base/b.ts',
      'nothing imports src/base/c.ts',
    ]);
    const page = [
      'main.tsx',
      'search-worker.ts',
      'file-worker.ts',
      'instead/crew.ts',
      'instead/unpack.ts',
      'instead/wasm.ts',
    ];
    const doors = ['src/index.ts', 'src/check/index.ts', 'src/cli/main.ts', 'src/cli/beside.ts'];
    expect(dead(tree, [...doors, ...page.map((name) => `src/view/page/${name}`)])).toEqual(none);
  });
});

describe('every file', () => {
  it('speaks of this project alone, and finished', () => {
    const bad = files({
      'src/a.ts': `// TO${''}DO later\n// see /wor${''}k/x\n// it is pro${''}ven\n`,
      'test/b.ts': `const corpus = '../share${''}d/corpus';\nfetch('http${''}://registry.example.org/x');\n// https://lore.kernel.org/x`,
      'README.md': `as DESIG${''}N.md says`,
    });
    expect(words(bad).map((line) => line.replace(/^([^:]*:\d+: [^:]*): .*/, '$1'))).toEqual([
      'src/a.ts:1: an unfinished thought',
      'src/a.ts:2: a path of one machine',
      'src/a.ts:3: a word for what is only checked',
      'test/b.ts:1: a folder beside the checkout',
      'test/b.ts:2: a link to a place that readers cannot know',
      'README.md:1: how the text came about',
    ]);
    expect(words(tree)).toEqual(none);
  });

  it('has a name that says what is inside', () => {
    expect(
      names(
        files({ 'src/base/utils.ts': '', 'test/helpers/a.ts': '', 'src/sites/utility.ts': '' }),
      ),
    ).toHaveLength(2);
    expect(names(tree)).toEqual(none);
  });

  it('under test/ is collected by one run, or named by a file that is', () => {
    const rule: Collection[] = [
      { include: ['test/**/*.{test,prop}.ts'], exclude: ['test/process/**'] },
      { include: ['test/process/**/*.test.ts'] },
    ];
    const bad = files({
      'test/a.test.ts': `import './b.js';\nread('golden/' + name);`,
      'test/b.ts': '',
      'test/c.ts': '',
      'test/golden/x.txt': '',
      'test/stale/x.txt': '',
      'test/process/d.test.ts': '',
      'test/process/e.prop.ts': '',
    });
    expect(uncollected(bad, rule, [])).toEqual(
      ['test/c.ts', 'test/stale/x.txt', 'test/process/e.prop.ts'].map(
        (path) => `${path} is neither collected nor named`,
      ),
    );
    expect(uncollected(bad, [...rule, rule[1]!], [])).toContain(
      'test/process/d.test.ts would run 2 times',
    );
    const groupsOf = ({ test }: typeof short): Collection[] =>
      (test?.projects ?? []).map((project) => (project as { test: Collection }).test);
    // The long run repeats files of the short one; its own are named by a pattern.
    const own = groupsOf(long).map(({ include, exclude }) => ({
      include: include.filter((pattern) => pattern.includes('*')),
      ...(exclude && { exclude }),
    }));
    const collections = [...groupsOf(short), ...own];
    expect(collections.length).toBeGreaterThan(2);
    expect(
      [...tree.keys()].filter((path) =>
        collections.some(({ include }) => include.some((p) => glob(p).test(path))),
      ).length,
    ).toBeGreaterThan(10);
    expect(
      uncollected(tree, collections, ['test/groups.ts', 'test/setup.ts', 'test/skipped.ts']),
    ).toEqual(none);
  });
});

describe('the declarations', () => {
  it.each(Object.entries(READ))('of %s lead to no file inside (declarations.ts)', (door, files) => {
    const built = (file: string): string => readFileSync(`dist/${file}.d.ts`, 'utf8');
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

describe('what is told', () => {
  it('every block of a page is run by a test (pages.ts)', () => {
    const bad = new Map([['docs/a.md', '```sh one\nfirst\n```\n```c\nint second;\n```\n']]);
    const by = { 'docs/a.md': { one: 'test/gone.ts', two: 'test/tidy.test.ts' } };
    expect(unrun(bad, by, existsSync)).toEqual([
      'docs/a.md: no test runs one (first)',
      'docs/a.md: no test runs  (int second;)',
      'docs/a.md: there is no block two',
    ]);
    const pages = ['README.md', ...readdirSync('docs').map((name) => `docs/${name}`)]
      .filter((path) => path.endsWith('.md'))
      .map((path) => [path, readFileSync(path, 'utf8')] as const);
    expect(pages.length).toBeGreaterThan(20);
    expect(unrun(new Map(pages), RUN_BY, existsSync)).toEqual([]);
  });

  it('docs/faults.md is what scripts/faults.mjs writes', () => {
    expect(tree.get('docs/faults.md'), 'run node scripts/faults.mjs').toBe(faultsPage());
  });

  it('every fault is thrown by a source, and provoked by a test', () => {
    const bad = files({
      'src/base/fault.ts': `'not-elf' 'no-key' 'closed'`,
      'src/elf/read.ts': `throw new Fault('not-elf', ''); throw new Fault('no-key', '')`,
      'test/elf/read.test.ts': `'not-elf' 'closed'`,
    });
    expect(unprovoked(bad, ['not-elf', 'no-key', 'closed'])).toEqual([
      'nothing throws closed',
      'no test provokes no-key',
    ]);
    expect(unprovoked(tree, Object.keys(FAULTS))).toEqual(none);
  });

  it('every command is one file, and every command that a text names is there', async () => {
    const { stdout } = await line(['--help']);
    const known = [...stdout.slice(stdout.indexOf('COMMANDS')).matchAll(/^ {2}(\w+) /gm)]
      .map((match) => match[1]!)
      .sort();
    expect(known.length).toBeGreaterThan(1);
    expect(
      sources.flatMap((path) => /^src\/cli\/commands\/(\w+)\.ts$/.exec(path)?.[1] ?? []).sort(),
    ).toEqual(known);
    expect(
      commands(
        files({
          'README.md':
            'A static-call site.\nRun `static-call demo`.\n    $ static-call chekc int3\n',
        }),
        ['demo'],
      ),
    ).toEqual(['README.md:3: there is no command chekc']);
    expect(commands(tree, known)).toEqual(none);
  });
});
