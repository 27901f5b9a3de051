// Four native threads pass every form of site while three keys are retargeted as fast as it goes,
// by every protocol and writer and through one storm after the other, in turns. Says on stderr how
// it goes and prints the sums. argv: JSON {libraries, guest, seconds, threads, seed, quiet}: a copy
// of soak.c for each way, and a library to load and unload.
import { readFileSync } from 'node:fs';
import v8 from 'node:v8';
import vm from 'node:vm';
import { open } from '#index';
import { openNative } from '#machine/linux/native';
import { readMaps } from '#machine/linux/maps';
import { Runtime } from '#machine/process/runtime';
import { strayTraps } from '#machine/process/records';
import { differsFromFile, openSoaked, targetsFor, updates } from './soaked.mjs';

const {
  libraries,
  guest,
  seconds,
  threads = 4,
  seed = 1,
  quiet = false,
} = JSON.parse(process.argv[2]);
const WAYS = [
  { protocol: 'int3', writer: 'procmem' },
  { protocol: 'int3', writer: 'alias' },
  { protocol: 'store', writer: 'alias' },
  { protocol: 'store', writer: 'procmem', assume: 'procmem-stores-are-atomic' },
  { protocol: 'auto', writer: 'procmem' },
  { protocol: 'auto', writer: 'alias' },
];
/** Same order as in soak.c. */
const STORMS = ['calm', 'threads', 'signals', 'forks', 'stacks', 'libraries'];

v8.setFlagsFromString('--expose-gc');
const collect = vm.runInNewContext('gc');
const ways = WAYS.map((options, i) => {
  const soaked = openSoaked(libraries[i]);
  return {
    name: `${options.protocol} ${options.writer}`,
    path: libraries[i],
    soaked,
    stormStart: soaked.library.func('int storm_start(int, str)'),
    stormStop: soaked.library.func('long storm_stop(int)'),
    guestPasses: soaked.library.func('long storm_passes()'),
    app: open(libraries[i], options),
    next: updates(seed + i, targetsFor(options.protocol)),
  };
});
const native = openNative();
const sums = { updates: 0, inline: 0, trampoline: 0, turns: 0, failed: 0, drift: 0 };
const gusts = Object.fromEntries(STORMS.map((name) => [name, 0]));

/** Resident memory of the process, of which what is shared with a file is no more than the file. */
const footprint = () => {
  collect();
  collect();
  const maps = readMaps();
  const resident =
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'latin1'))[1]) / 1024;
  const ours = maps.filter(
    (m) =>
      libraries.includes(m.path) || m.path === guest || m.path.startsWith('/memfd:static-call'),
  ).length;
  return {
    heapMB: process.memoryUsage().heapUsed / 2 ** 20,
    residentMB: resident,
    mappings: maps.length,
    ours,
  };
};
const calls = () =>
  ways.reduce((n, w) => n + 10 * (w.soaked.passes() + Number(w.guestPasses())), 0);

const began = performance.now();
const elapsed = () => (performance.now() - began) / 1000;
// At least once through everything, then as long as was asked for; the first round or minute is for
// settling.
const turns = WAYS.length * STORMS.length;
const turnMs = Math.min(2000, (1000 * seconds) / turns);
let settled = null;
for (let turn = 0; turn < turns || elapsed() < seconds; turn++) {
  const way = ways[turn % WAYS.length];
  const storm = Math.floor(turn / WAYS.length) % STORMS.length;
  way.soaked.start(threads);
  way.stormStart(storm, guest);
  const end = performance.now() + turnMs;
  do {
    const update = way.app.update(way.next());
    sums.updates++;
    sums.inline += update.inline;
    sums.trampoline += update.trampoline;
  } while (performance.now() < end);
  const blown = Number(way.stormStop(storm));
  way.soaked.stop();
  if (blown < 0) sums.failed++;
  else gusts[STORMS[storm]] += blown;
  sums.drift += way.app.verify().length;
  sums.turns++;
  // What the engine's collector found dead is given back between two turns of the event loop.
  await new Promise(setImmediate);
  if (!settled && turn + 1 >= turns && elapsed() >= Math.min(60, seconds / 2))
    settled = footprint();
  if (!quiet)
    process.stderr.write(
      `\r${elapsed().toFixed(0)} s, ${sums.updates} updates, ${calls()} calls; ${way.name}, ${STORMS[storm]}        `,
    );
}
settled ??= footprint();
const last = footprint();
if (!quiet) process.stderr.write('\n');

const outcomes = {};
for (const { soaked } of ways)
  for (const [name, count] of Object.entries(soaked.outcomes()))
    outcomes[name] = (outcomes[name] ?? 0) + count;
const traps = Object.fromEntries(ways.map((w) => [w.name, w.app.traps]));
/** How many sites there are of each kind and length: `call 5`. */
const sites = {};
for (const { app } of ways)
  for (const { kind, bytes } of app.sites())
    sites[`${kind} ${bytes.length / 2}`] = (sites[`${kind} ${bytes.length / 2}`] ?? 0) + 1;
for (const { app } of ways) app.close();
console.log(
  JSON.stringify({
    seconds: elapsed(),
    threads,
    calls: calls(),
    ...sums,
    sites,
    traps,
    ...strayTraps(new Runtime(native)),
    gusts,
    wrong: outcomes.wrong,
    lost: calls() - Object.values(outcomes).reduce((a, b) => a + b),
    outcomes,
    differs: ways.reduce((n, w) => n + differsFromFile(native, readMaps, w.path), 0),
    settled,
    last,
  }),
);
