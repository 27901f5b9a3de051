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
import { noiseOf, present, Samples, type Table } from './result.js';
import type { Environment, Workshop } from './tools.js';

const CLI = fileURLToPath(new URL('../../bin/static-call', import.meta.url));
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

export function measureObjects({
  workshop,
  env,
  budget,
  signal,
}: {
  readonly workshop: Workshop;
  readonly env: Environment;
  readonly budget: number;
  readonly signal: AbortSignal;
}): Table[] {
  const built = workshop.object('object', workshop.write('object.c', objectSource(FUNCTIONS)));
  const bytes = readWhole(built);
  const objtool = findObjtool(env);
  const samples = new Samples();
  const timed = (id: string, body: () => void): void => {
    const from = performance.now();
    body();
    samples.add(id, (performance.now() - from) * 1e6);
  };
  const copy = (name: string): string => {
    const path = join(workshop.folder, name);
    copyFileSync(built, path);
    return path;
  };
  const end = performance.now() + budget;
  for (let round = 0; round < 3 || (performance.now() < end && !signal.aborted); round++) {
    timed('find', () => void findSites(readElf(bytes, built)));
    timed('annotate', () => void annotate(readElf(bytes, built)));
    timed('inspect', () => void inspectObject(built, readElf(bytes, built)));
    const ours = copy('ours.o');
    timed(
      'command',
      () => void spawnSync(process.execPath, [CLI, 'annotate', ours], { env, stdio: 'ignore' }),
    );
    timed(
      'look',
      () => void spawnSync(process.execPath, [CLI, 'inspect', ours], { env, stdio: 'ignore' }),
    );
    for (const id of ['bare', 'barecopy'])
      timed(id, () => void spawnSync(process.execPath, ['-e', '0'], { env, stdio: 'ignore' }));
    timed(
      'version',
      () => void spawnSync(process.execPath, [CLI, '--version'], { env, stdio: 'ignore' }),
    );
    if (objtool) {
      for (const id of ['objtool', 'objtoolcopy']) {
        const theirs = copy('theirs.o');
        timed(
          id,
          () => void spawnSync(objtool, ['--static-call', theirs], { env, stdio: 'ignore' }),
        );
      }
    }
  }
  const to = objtool ? { to: 'objtool' } : {};
  return [
    {
      group: 'objects',
      title: `An object of ${FUNCTIONS.toLocaleString('en-US')} functions with a static call each`,
      about:
        'The same file, copied for each sample. `npm run bench:objects` does the same with every module of a distribution.',
      noise: objtool
        ? noiseOf(samples, [['objtool', 'objtoolcopy']])
        : noiseOf(samples, [['bare', 'barecopy']]),
      rows: present([
        samples.row('objtool', 'objtool --static-call, a process'),
        samples.row('command', 'static-call annotate, a process', { ...to, ours: true }),
        samples.row('look', 'static-call inspect, a process', { ...to, ours: true }),
        samples.row('annotate', 'annotate, in this process', { ...to, ours: true }),
        samples.row('inspect', 'inspect, in this process', { ...to, ours: true }),
        samples.row('find', 'only finding the sites, in this process', { ...to, ours: true }),
      ]),
      missing: objtool
        ? []
        : [
            {
              what: 'objtool',
              why: "the kernel's, for example of Debian's package linux-kbuild-6.1",
            },
          ],
    },
    {
      group: 'objects',
      title: 'Starting',
      about: 'A process from its start to its end.',
      noise: noiseOf(samples, [['bare', 'barecopy']]),
      rows: present([
        samples.row('bare', 'node -e 0'),
        samples.row('version', 'static-call --version', { to: 'bare', ours: true }),
      ]),
      missing: [],
    },
  ];
}
