// Group 5: what `static-call cc` costs a build beyond its compiler, as the shell starts both.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { Fault } from '../base/fault.js';
import { noiseOf, present, Samples, type Row, type Table } from './result.js';
import { CLI, INCLUDE, type ObjectsOptions } from './tools.js';

const ONE_CALL = `#include <static_call.h>
int one(int a);
int one(int a) { return a; }
DEFINE_STATIC_CALL(work, one);
int run(int a);
int run(int a) { return static_call(work)(a); }
`;
const NO_CALL = 'int none(void);\nint none(void) { return 1; }\n';

export function measureCompiling({ workshop, env, budget, signal }: ObjectsOptions): Table {
  const samples = new Samples();
  const compile = (id: string, source: string, ...prefix: readonly string[]): void => {
    const out = join(workshop.folder, 'compiled.o');
    const words = ['-O2', `-I${INCLUDE}`, '-c', source, '-o', out];
    const [program = '', ...rest] = [...prefix, ...workshop.compiler, ...words];
    samples.time(id, () => {
      const { status } = spawnSync(program, rest, { env, stdio: 'ignore' });
      if (status !== 0) throw new Fault('compile-failed', `${program} ended with ${status}`);
    });
  };
  workshop.write('one.h', ONE_CALL);
  const [one, unseen, none] = [
    workshop.write('one.c', ONE_CALL),
    workshop.write('unseen.c', '#include "one.h"\n'),
    workshop.write('none.c', NO_CALL),
  ];
  const end = performance.now() + budget;
  for (let round = 0; round < 3 || (performance.now() < end && !signal.aborted); round++) {
    for (const id of ['one', 'onecopy']) compile(id, one);
    compile('cc one', one, CLI, 'cc', '--');
    compile('cc unseen', unseen, CLI, 'cc', '--');
    compile('none', none);
    compile('cc none', none, CLI, 'cc', '--');
  }
  return table(samples);
}

function table(samples: Samples): Table {
  const beyond = (id: string, to: string, name: string): Row | null => {
    const [ours, alone] = [samples.row(id, name, { to, ours: true }), samples.row(to, '')];
    if (!ours || !alone) return null;
    return { ...ours, more: { 'ms beyond the compiler': (ours.median - alone.median) / 1e6 } };
  };
  return {
    group: 'objects',
    title: 'Compiling a small file',
    about: 'A process from its start to its end, the compiler in turns with `static-call cc`.',
    noise: noiseOf(samples, [['one', 'onecopy']]),
    rows: present([
      samples.row('one', 'the compiler, a file with a static call'),
      beyond('cc one', 'one', 'static-call cc, the same file'),
      beyond('cc unseen', 'one', 'static-call cc, the call in a header'),
      samples.row('none', 'the compiler, a file without'),
      beyond('cc none', 'none', 'static-call cc, the same file'),
    ]),
    missing: [],
  };
}
