// Root writes into a directory of another user's, who races every step of it (racer.c). What is
// looked at afterwards is a directory of root's own, to which the racer points all that it can:
// owners, modes, sizes and contents there must be what they were.

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must } from '../build.js';

/** `daemon` everywhere; nothing of it is used but its number. */
const USER = 1;
const ROOT = process.getuid?.() === 0;
export const whyNot = (): string | null => {
  if (!ROOT) return 'needs root, which alone can write as it likes in the directory of another';
  return spawnSync('gcc', ['--version']).status === 0 ? null : 'needs gcc';
};

const SOURCE = `#include <static_call.h>
int one(int a);
int one(int a) { return a; }
DEFINE_STATIC_CALL(work, one);
int use(int a);
int use(int a) { return static_call(work)(a) + 1; }
`;
export const NAMES = ['x.o', 'copy.o', 'made.o', 'keys.ts', 'naive.svg', 'bench.html'] as const;

const DIST = new URL('../../dist/', import.meta.url).href;

/** Every way in which a command writes a file. `made.o` comes from a compiler that is careful. */
const COMMANDS = `
  ['annotate', '--force', at('x.o')],
  ['annotate', '--force', own('x.o'), '-o', at('copy.o')],
  ['types', own('keys.so'), '-o', at('keys.ts')],
  ['check', 'naive', '--passes', '1', '--updates', '1', '--svg', at('naive.svg')],
  ['cc', '--align', 'no', '--', own('compiler'), '-c', own('f.c'), '-o', at('made.o')],`;

/** What a writer did that sets owner and mode by name and follows links: the check must see it. */
const CARELESS = `
  const careless = (path, bytes) => {
    try {
      const target = fs.existsSync(path) ? fs.realpathSync(path) : path;
      const model = fs.existsSync(target) ? fs.statSync(target) : { uid: ${USER}, gid: ${USER}, mode: 0o666 };
      const temporary = target + '.' + process.pid + '.tmp';
      fs.rmSync(temporary, { force: true });
      fs.writeFileSync(temporary, bytes);
      fs.chownSync(temporary, model.uid, model.gid);
      fs.chmodSync(temporary, 0o666);
      fs.renameSync(temporary, target);
    } catch {}
  };`;

const program = (directory: string, owned: string, seconds: number, careful: boolean): string => `
  import * as fs from 'node:fs';
  import { spawnSync } from 'node:child_process';
  const { main } = await import('${DIST}cli/main.js');
  const { page } = await import('${DIST}bench/html.js');
  const { replaceFile } = await import('${DIST}base/file.js');
  const at = (name) => '${directory}/' + name;
  const own = (name) => '${owned}/' + name;
  ${CARELESS}
  let said = '';
  const streams = { stdout: { write() {} }, stderr: { write(text) { said += text; } }, env: { PATH: process.env.PATH } };
  const commands = [${COMMANDS}];
  // What bench --html does when it has measured.
  const bench = { machine: { cpu: '', cpus: 2, kernel: '', node: '', compiler: '', hypervisor: false, load: 0, date: '' }, seconds: 1, tables: [] };
  const counts = {};
  const until = performance.now() + ${seconds * 1000};
  for (let round = 0; performance.now() < until; round++) {
    const count = (status) => (counts[status] = (counts[status] ?? 0) + 1);
    if (${!careful}) { for (const name of ${JSON.stringify(NAMES)}) careless(at(name), 'careless'); continue; }
    // The cheap ones more often: what is raced is the writing.
    for (const command of commands.slice(0, round % 20 === 0 ? 5 : 3)) {
      said = '';
      const status = await main(command, streams);
      count(status);
      // 1 is what check says of naive.
      if (![0, 1, 3].includes(status)) console.error(said);
    }
    try { replaceFile(at('bench.html'), page(bench)); count(0); } catch (error) { if (error.code !== 'unwritable-file') throw error; count(3); }
  }
  console.log(JSON.stringify(counts));`;

/** Owners, modes, sizes and contents of all that lies in a directory. */
function listing(folder: string): string[] {
  return readdirSync(folder)
    .sort()
    .map((name) => {
      const path = join(folder, name);
      const { uid, gid, mode, size, nlink } = lstatSync(path);
      const sum = createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 16);
      return [name, uid, gid, mode.toString(8), size, nlink, sum].join(' ');
    });
}

export interface Race {
  /** Root's own files, before and after. */
  readonly before: readonly string[];
  readonly after: readonly string[];
  /** What the racer's own bystander came to: nothing but the outputs is written there either. */
  readonly bystander: string;
  readonly statuses: Readonly<Record<string, number>>;
  readonly swapped: number;
  readonly complaints: string;
}

export async function race(
  modes: string,
  seconds: number,
  { careful = true }: { readonly careful?: boolean } = {},
): Promise<Race> {
  const room = mkdtempSync(join(tmpdir(), 'static-call-race-'));
  try {
    chmodSync(room, 0o755);
    const [his, owned, victims] = [join(room, 'his'), join(room, 'owned'), join(room, 'victims')];
    const directory = join(his, 'd');
    for (const folder of [his, directory, owned, victims]) mkdirSync(folder);
    build(owned);
    for (const name of ['victim', 'bystander', ...NAMES]) {
      const from = name.endsWith('.o') ? join(owned, 'x.o') : join(owned, 'f.c');
      copyFileSync(from, join(victims, name));
      chmodSync(join(victims, name), 0o600);
      copyFileSync(from, join(directory, name));
      chownSync(join(directory, name), USER, USER);
      chmodSync(join(directory, name), 0o666);
    }
    for (const folder of [his, directory]) chownSync(folder, USER, USER);
    const before = listing(victims);
    const racer = spawn(
      join(owned, 'racer'),
      [
        String(USER),
        String(seconds + 0.5),
        modes,
        directory,
        victims,
        join(victims, 'victim'),
      ].concat(NAMES),
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    let said = '';
    const ready = new Promise<void>((resolve) => {
      racer.stdout.on('data', (text: Buffer) => {
        said += text.toString();
        resolve();
      });
    });
    const gone = new Promise((resolve) => racer.on('close', resolve));
    await ready;
    // A file, for check starts a worker, which inherits what node was given.
    const main = join(owned, 'main.mjs');
    writeFileSync(main, program(directory, owned, seconds, careful));
    const writer = spawnSync(process.execPath, [main], {
      encoding: 'utf8',
      timeout: seconds * 1000 + 60_000,
    });
    await gone;
    return {
      before,
      after: listing(victims),
      bystander: readFileSync(join(directory, 'bystander'), 'utf8'),
      statuses: JSON.parse(writer.stdout || '{}') as Record<string, number>,
      swapped: Number(said.trim().split('\n').at(-1)),
      complaints: writer.stderr,
    };
  } finally {
    rmSync(room, { recursive: true, force: true });
  }
}

export const BYSTANDER = SOURCE;

function build(owned: string): void {
  const gcc = (...words: string[]): string => must('gcc', words, owned);
  const include = `-I${process.cwd()}/include`;
  writeFileSync(join(owned, 'f.c'), SOURCE);
  gcc('-O2', '-fPIC', include, '-c', 'f.c', '-o', 'x.o');
  gcc('-shared', 'x.o', '-o', 'keys.so');
  gcc('-O2', '-Wall', join(process.cwd(), 'test/cli/racer.c'), '-o', 'racer');
  const file = JSON.stringify(`${DIST}base/file.js`);
  writeFileSync(
    join(owned, 'compiler'),
    `#!${process.execPath}
const { readFileSync } = require('node:fs');
const named = process.argv.indexOf('-o');
// Asked for its version it makes nothing; argv[0] is node itself.
if (named > 0) import(${file}).then(({ replaceFile }) => {
  try { replaceFile(process.argv[named + 1], readFileSync('${owned}/x.o')); } catch { process.exit(1); }
});
`,
    { mode: 0o755 },
  );
}
