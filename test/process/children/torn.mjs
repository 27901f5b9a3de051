// Swaps one site between two targets as fast as the steps of a protocol go, while a thread on the
// other CPU runs it, and prints which landings its calls reached. argv: JSON {library, way,
// updates, untilTorn}: `untilTorn` repeats the updates until a call was torn, for 20 seconds at
// most.
import { open } from '#index';
import { openNative } from '#machine/linux/native';
import { Runtime } from '#machine/process/runtime';
import { readMaps } from '#machine/linux/maps';
import { ProcessMachine } from '#machine/process/process';
import { aliasText } from '#machine/process/alias';
import { Batch, KeyChanges } from '#plan/batch';
import { int3 } from '#plan/protocols/int3';
import { naive } from '#plan/protocols/naive';
import { store } from '#plan/protocols/store';
import { emit, SITE_FORMS } from '#x86/forms';
import { koffi } from './soaked.mjs';

const { library, way, updates, untilTorn = false } = JSON.parse(process.argv[2]);
const stores = (protocol) => ({
  ...protocol,
  steps: protocol.steps.filter((step) => step.do === 'store'),
});
const WAYS = {
  int3,
  store,
  naive,
  'naive-unpaced': stores(naive),
  'store-unpaced': stores(store),
  'int3-unpaced': stores(int3),
};

const torn = koffi.load(library);
const pin = torn.func('int torn_pin(int)');
const start = torn.func('int torn_start(int)');
const stop = torn.func('void torn_stop()');
const counts = torn.func('void torn_counts(void *)');
const read = () => {
  const into = new BigUint64Array(8);
  counts(into);
  return [...into].map(Number);
};
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

const app = open(library, { writer: 'alias' });
const site = app.sites('torn').find((s) => s.where.startsWith('torn_run'));
const at = Number(site.address);
const native = openNative();
const { start: from, end } = readMaps().find((m) => at >= m.start && at < m.end);
const runtime = new Runtime(native);
const machine = new ProcessMachine(runtime);
machine.addText(aliasText(runtime, from, end));

// The displacements of torn.c, from the end of the site.
const [a, b] = [0x011040, 0x022080].map((d) => emit(SITE_FORMS.call, { at, target: at + 5 + d }));
const edit = (old, wanted) => {
  const batch = new Batch(1);
  batch.count = 1;
  batch.at[0] = at;
  batch.length[0] = 5;
  batch.old.set(old);
  batch.new.set(wanted);
  return { batches: [batch], keys: new KeyChanges() };
};
const [there, back] = [edit(a, b), edit(b, a)];

if (pin(0) !== 0 || start(1) !== 0) {
  console.log(JSON.stringify({ skipped: 'a thread could not be pinned to each of two CPUs' }));
  process.exit(0);
}
while (sum(read()) === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
const before = read();
const began = performance.now();
let during;
let made = 0;
do {
  for (let n = 0; n < updates; n += 2) {
    machine.run(WAYS[way].steps, there);
    machine.run(WAYS[way].steps, back);
  }
  made += updates;
  during = read().map((n, i) => n - before[i]);
  // A loaded machine may have kept the thread off its CPU meanwhile; then this says nothing yet.
  // And torn calls come in bursts with long gaps: a million updates take a tenth of a second, and
  // some of those see none.
} while (
  (sum(during) < 1_000_000 || (untilTorn && sum(during.slice(1, 7)) === 0)) &&
  performance.now() - began < 20_000
);
const ms = performance.now() - began;
stop();
const after = read();
app.close();
console.log(
  JSON.stringify({
    offset: at % 64,
    updates: made,
    during,
    calls: sum(during),
    wrong: sum(after.slice(1, 7)),
    ms: Math.round(ms),
  }),
);
