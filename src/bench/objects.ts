// Group 5: annotate and inspect beside the kernel's objtool, on one object that the system's
// compiler makes; and starting, which is in every command's time.

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readWhole } from '../base/file.js';
import { readElf } from '../elf/read.js';
import { inspectObject } from '../inspect/object.js';
import { annotate } from '../sites/annotate.js';
import { findSites } from '../sites/find.js';
import { objectSource } from './programs.js';
import { noiseOf, present, Samples, type Missing, type Row, type Table } from './result.js';
import { CLI, type Environment, type ObjectsOptions } from './tools.js';

const CORPUS = fileURLToPath(new URL('../../corpus', import.meta.url));
const FUNCTIONS = 5000;

/**
 * On the path, where scripts/corpus puts it, or where Debian's linux-kbuild packages have it: the
 * newest.
 */
function findObjtool(env: Environment): string | null {
  if (!spawnSync('objtool', ['--version'], { env }).error) return 'objtool';
  const corpus = join(env['STATIC_CALL_CORPUS'] ?? CORPUS, 'objtool');
  if (existsSync(corpus)) return corpus;
  const found = existsSync('/usr/lib')
    ? readdirSync('/usr/lib')
        .filter((name) => name.startsWith('linux-kbuild-'))
        .sort()
    : [];
  const path = found
    .map((name) => join('/usr/lib', name, 'tools/objtool/objtool'))
    .filter((p) => existsSync(p));
  return path.at(-1) ?? null;
}

export function measureObjects(options: ObjectsOptions): Table[] {
  const objtool = findObjtool(options.env);
  const samples = sample(options, objtool);
  return [objectTable(samples, objtool !== null), startTable(samples)];
}

function sample(
  { workshop, env, budget, signal }: ObjectsOptions,
  objtool: string | null,
): Samples {
  const built = workshop.object('object', workshop.write('object.c', objectSource(FUNCTIONS)));
  const bytes = readWhole(built);
  const samples = new Samples();
  const launch = (id: string, program: string, ...words: readonly string[]): void =>
    samples.time(id, () => void spawnSync(program, words, { env, stdio: 'ignore' }));
  const copy = (name: string): string => {
    const path = join(workshop.folder, name);
    copyFileSync(built, path);
    return path;
  };
  const node = process.execPath;
  const end = performance.now() + budget;
  for (let round = 0; round < 3 || (performance.now() < end && !signal.aborted); round++) {
    samples.time('find', () => void findSites(readElf(bytes, built)));
    samples.time('annotate', () => void annotate(readElf(bytes, built)));
    samples.time('inspect', () => void inspectObject(built, readElf(bytes, built)));
    const ours = copy('ours.o');
    launch('command', node, CLI, 'annotate', ours);
    launch('look', node, CLI, 'inspect', ours);
    for (const id of ['bare', 'barecopy']) launch(id, node, '-e', '0');
    launch('version', node, CLI, '--version');
    if (objtool)
      for (const id of ['objtool', 'objtoolcopy'])
        launch(id, objtool, '--static-call', copy('theirs.o'));
  }
  return samples;
}

const OBJTOOL_MISSING: Missing = {
  what: 'objtool',
  why: "the kernel's, for example of Debian's package linux-kbuild-6.1",
};

function objectTable(samples: Samples, objtool: boolean): Table {
  const row = (id: string, name: string): Row | null =>
    samples.row(id, name, { ...(objtool ? { to: 'objtool' } : {}), ours: true });
  return {
    group: 'objects',
    title: `An object of ${FUNCTIONS.toLocaleString('en-US')} functions with a static call each`,
    about:
      'The same file, copied for each sample. `npm run bench:objects` does the same with every ' +
      'module of a distribution.',
    noise: noiseOf(samples, [objtool ? ['objtool', 'objtoolcopy'] : ['bare', 'barecopy']]),
    rows: present([
      samples.row('objtool', 'objtool --static-call, a process'),
      row('command', 'static-call annotate, a process'),
      row('look', 'static-call inspect, a process'),
      row('annotate', 'annotate, in this process'),
      row('inspect', 'inspect, in this process'),
      row('find', 'only finding the sites, in this process'),
    ]),
    missing: objtool ? [] : [OBJTOOL_MISSING],
  };
}

const startTable = (samples: Samples): Table => ({
  group: 'objects',
  title: 'Starting',
  about: 'A process from its start to its end.',
  noise: noiseOf(samples, [['bare', 'barecopy']]),
  rows: present([
    samples.row('bare', 'node -e 0'),
    samples.row('version', 'static-call --version', { to: 'bare', ours: true }),
  ]),
  missing: [],
});
