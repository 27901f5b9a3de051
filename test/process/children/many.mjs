// A key with very many sites: opened, retargeted in one batch each time with a thread passing them,
// and put back. argv: JSON {library, sites, updates, options}. Prints how long each took, for
// whoever wants to know.
import { readFileSync } from 'node:fs';
import { open } from '#index';
import { koffi } from './soaked.mjs';

const { library, updates, options } = JSON.parse(process.argv[2]);
const resident = (what) =>
  Number(new RegExp(`${what}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'latin1'))[1]) /
  1024;
const lib = koffi.load(library);
const [start, stop, passes, wrong, twos] = [
  'int many_start()',
  'void many_stop()',
  'long many_passes()',
  'long many_wrong()',
  'long many_twos()',
].map((d) => lib.func(d));

const before = resident('VmRSS');
const began = performance.now();
const app = open(library, options);
const openMs = performance.now() - began;
const peakMB = resident('VmHWM') - before;
const results = [];
const ms = [];
start();
for (let n = 0; n < updates; n++) {
  const target = n % 2 ? 'many_one' : 'many_two';
  const update = app.update({ many: target });
  ms.push(update.ns / 1e6);
  results.push(Number(twos()) === (target === 'many_two' ? app.keys.many.sites : 0));
}
stop();
const drift = app.verify().length;
const sites = app.keys.many.sites;
const reported = app.sites('many').filter(({ kind }) => kind !== 'trampoline').length;
const traps = app.traps;
app.close();
console.log(
  JSON.stringify({
    sites,
    reported,
    openMs,
    peakMB,
    ms,
    best: Math.min(...ms),
    median: ms.toSorted((a, b) => a - b)[ms.length >> 1],
    right: results.every(Boolean),
    passes: Number(passes()),
    wrong: Number(wrong()),
    traps,
    drift,
    closed: Number(twos()) === 0,
  }),
);
