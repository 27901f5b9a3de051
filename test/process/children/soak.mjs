// Retargets three keys and switches a fourth at random while native threads pass their sites, and prints what came of it.
// argv: JSON {library, threads, seconds, seed, options, guests, crash}. With `guests` a JavaScript
// timer, two workers and libuv's pool pass the sites as well, and the updates are made in slices
// between their turns.
import { Worker } from 'node:worker_threads';
import { open } from '#index';
import { openNative } from '#machine/linux/native';
import { readMaps } from '#machine/linux/maps';
import { Runtime } from '#machine/process/runtime';
import { strayTraps } from '#machine/process/records';
import { differsFromFile, openSoaked, targetsFor, updates } from './soaked.mjs';

const { library, threads, seconds, seed, options, guests, crash } = JSON.parse(process.argv[2]);
const soaked = openSoaked(library);
const app = open(library, options);
const native = openNative();
const sum = { updates: 0, trampoline: 0, inline: 0 };
const next = updates(seed, targetsFor(options.protocol));

function updateFor(ms) {
  const end = performance.now() + ms;
  do {
    const update = app.update(next());
    sum.updates++;
    sum.inline += update.inline;
    sum.trampoline += update.trampoline;
  } while (performance.now() < end);
}

/** How many sites there are of each kind and length: `call 5`. */
const sites = {};
for (const { kind, bytes } of app.sites())
  sites[`${kind} ${bytes.length / 2}`] = (sites[`${kind} ${bytes.length / 2}`] ?? 0) + 1;

const seen = { timer: 0, pool: 0, workers: [] };
soaked.start(threads);
const began = performance.now();
if (!guests) updateFor(seconds * 1000);
else {
  let over = false;
  const timer = setInterval(() => (seen.timer += soaked.many(20)), 1);
  const pool = (done) =>
    soaked.many.async(2000, (error, passed) => {
      seen.pool += Number(passed);
      if (over) done();
      else pool(done);
    });
  const pools = [new Promise(pool), new Promise(pool)];
  const worker = `
    const { parentPort, workerData } = require('node:worker_threads');
    const many = require(workerData.koffi).load(workerData.library).func('long soak_many(long)');
    let [over, passed] = [false, 0];
    parentPort.on('message', () => (over = true));
    (function turn() {
      passed += Number(many(500));
      if (over) { parentPort.postMessage(passed); parentPort.close(); } else setImmediate(turn);
    })();`;
  const koffi = (await import('node:module')).createRequire(import.meta.url).resolve('koffi');
  const workers = [0, 1].map(
    () => new Worker(worker, { eval: true, workerData: { koffi, library } }),
  );
  while (performance.now() - began < seconds * 1000) {
    updateFor(5);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  over = true;
  clearInterval(timer);
  seen.workers = await Promise.all(
    workers.map(
      (w) =>
        new Promise((resolve, reject) => {
          w.on('message', resolve);
          w.on('error', reject);
          w.postMessage('over');
        }),
    ),
  );
  await Promise.all(pools);
}
if (crash) process.kill(process.pid, 'SIGSEGV');
soaked.stop();
const drift = app.verify().length;
const traps = app.traps;
app.close();
console.log(
  JSON.stringify({
    ...sum,
    seconds: (performance.now() - began) / 1000,
    passes: soaked.passes(),
    outcomes: soaked.outcomes(),
    traps,
    ...strayTraps(new Runtime(native)),
    drift,
    differs: differsFromFile(native, readMaps, app.path),
    guests: seen,
    sites,
  }),
);
