// One side of scripts/since.mjs: a process of its own that measures the revision built in FOLDER.
// It uses what both revisions export, and answers one question at a time, so that the other side
// can be asked in between.
//
//   node scripts/since/measure.mjs FOLDER OBJECTS WARM_MS
import { copyFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, objects, warmMs] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(resolve(folder, path)).href);
const { open } = await load('dist/index.js');
const koffi = createRequire(resolve(folder, 'package.json'))('koffi');

/** Updates before anything counts: the figures are those of a program that has been running. */
const WARM = 300;

const programs = new Map();
/**
 * A copy for each writer, because one object is one text, which has one writer; and one for what is
 * opened again and again, because that forgets which updates came before.
 */
function program(sites, writer, use = 'update') {
  const path = join(objects, `${sites}-${writer}-${use}.so`);
  if (!programs.has(path)) {
    copyFileSync(join(objects, `${sites}.so`), path);
    const library = koffi.load(path);
    programs.set(path, { app: open(path, { writer }), library, next: 'many_b' });
  }
  return programs.get(path);
}

const { library } = program(1, 'alias');
const [run, park, moved, call] = [
  'int since_run()',
  'void since_park()',
  'void since_moved()',
  'double since_call(int, int64)',
].map((declaration) => library.func(declaration));

function time(body) {
  const from = performance.now();
  body();
  return (performance.now() - from) * 1e6;
}

const warmed = new Set();
function warm(name, body) {
  if (warmed.has(name)) return;
  warmed.add(name);
  const end = performance.now() + Number(warmMs);
  for (let k = 0; k < 2 || (k < WARM && performance.now() < end); k++) body();
}

const ANSWERS = {
  /** Nanoseconds of some updates; a thread runs elsewhere in the program. */
  update({ name, sites, protocol, writer, times }) {
    const subject = program(sites, writer);
    const update = () => {
      const targets = { many: subject.next };
      subject.next = subject.next === 'many_a' ? 'many_b' : 'many_a';
      return time(() => subject.app.update(targets, { protocol }));
    };
    warm(name, update);
    if (run() !== 0) throw new Error('no thread can be started');
    const samples = Array.from({ length: times }, () => {
      moved();
      return update();
    });
    park();
    return samples;
  },
  /** Nanoseconds of a call, in a loop of one. */
  call({ way, calls, times }) {
    program(1, 'alias').app.update({ called: way === 'empty' ? null : 'called_a' });
    return Array.from({ length: times }, () => call(way === 'direct' ? 0 : 1, calls));
  },
  /** Nanoseconds until a program is open. */
  open({ sites, writer, times }) {
    const subject = program(sites, writer, 'open');
    const { path } = subject.app;
    subject.app.close();
    const samples = Array.from({ length: times }, (_, i) => {
      let again;
      const ns = time(() => (again = open(path, { writer })));
      if (i < times - 1) again.close();
      else subject.app = again;
      return ns;
    });
    return samples;
  },
};

process.on('message', ({ ask, ...question }) => {
  process.send(ANSWERS[ask](question));
});
process.send('ready');
