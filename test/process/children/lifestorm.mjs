// Workers open, update, close and serve C, and are terminated at random moments. After each of them
// the process forks twice, C updates and JavaScript updates, and each of these must be done in
// time. argv: JSON {library, deaths, seconds, seed, pause}: at least so many, at least so long, and
// a pause in milliseconds after each. Prints what came of it.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { open } from '#app/index';
import { readMaps } from '#machine/linux/maps';
import { koffi } from './soaked.mjs';

const given = isMainThread ? JSON.parse(process.argv[2]) : workerData;
const { library } = given;
const lib = koffi.load(library);
const c = Object.fromEntries(
  [
    'long lives_call(long)',
    'int lives_update(int)',
    'long lives_fork(long)',
    'int lives_crowd_begin(int, int, int)',
    'long lives_crowd_end(int)',
  ].map((declaration) => [/lives_(\w+)\(/.exec(declaration)[1], lib.func(declaration)]),
);

/** What a worker does until it is terminated, after each of these once. */
const LIVES = {
  opens() {
    open(library).close();
  },
  updates(app) {
    for (let i = 0; i < 20; i++) app.update({ live: i % 2 ? 'live_two' : 'live_one' });
  },
  /** Its own server, or another's, takes these. */
  asks() {
    for (let i = 0; i < 20; i++) c.update(i % 2);
  },
};

function live({ kind }) {
  // koffi aborts where a worker is terminated in its first definitions and views: not this storm's.
  const app = open(library);
  for (const act of Object.values(LIVES)) act(app);
  parentPort.postMessage('up');
  for (;;) LIVES[kind](app);
}

/** Marsaglia's xorshift: a run is repeated by its seed, as far as threads let it. */
function random(seed) {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

async function storm({ deaths, seconds, seed, pause }) {
  const next = random(seed);
  const app = open(library);
  const mapped = () => readMaps().filter((m) => m.path.startsWith('/memfd:static-call')).length;
  const files = () => readdirSync('/proc/self/fd').length;
  const sums = { died: 0, wrong: [], slowest: 0 };
  const here = () => ({ mappings: mapped(), files: files() });
  let [settled, last] = [here(), here()];
  const inTime = (what, body, expected) => {
    const began = performance.now();
    const got = Number(body());
    sums.slowest = Math.max(sums.slowest, Math.round(performance.now() - began));
    if (got !== expected) sums.wrong.push({ what, got, expected, after: sums.died });
  };
  const until = performance.now() + 1000 * seconds;
  const kinds = Object.keys(LIVES);
  const born = () => {
    const kind = kinds[Math.floor(next() * kinds.length)];
    const worker = new Worker(new URL(import.meta.url), { workerData: { library, kind } });
    return new Promise((resolve, reject) =>
      worker.once('message', () => resolve(worker)).once('error', reject),
    );
  };
  // One that opens while another one dies, but where it is counted what is left: a worker that opens
  // has mappings of its own for a moment.
  let coming = born();
  for (let more = true; more;) {
    const worker = await coming;
    more = sums.died + 1 < deaths || performance.now() < until;
    const counted = sums.died === 1 || !more;
    if (!counted) coming = born();
    // Threads of C's ask meanwhile, also the server that is about to die.
    c.crowd_begin(3, 30, 1);
    await new Promise((resolve) => setTimeout(resolve, 4 * next()));
    const end = worker.terminate();
    if (next() < 0.5) await end;
    inTime('spawn', () => spawnSync('/bin/true').status, 0);
    inTime('fork', () => c.fork(0), 38);
    inTime('crowd', () => c.crowd_end(3), 0);
    await end;
    inTime('update from C', () => c.update(1), 0);
    inTime('call after C', () => c.call(1), 3);
    inTime('update', () => app.update({ live: 'live_one' }) && 0, 0);
    inTime('call', () => c.call(1), 2);
    inTime('drift', () => app.verify().length, 0);
    sums.died++;
    if (counted) last = here();
    if (sums.died === 2) settled = last;
    if (counted && more) coming = born();
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  console.log(
    JSON.stringify({
      ...sums,
      wrong: sums.wrong.slice(0, 5),
      left: { mappings: last.mappings - settled.mappings, files: last.files - settled.files },
    }),
  );
  process.exit(0);
}

if (isMainThread) await storm(given);
else live(given);
