// Calls that are counted, beside the program's own count. argv: the library of programs/trace.c.
import { open } from '#index';
import { koffi } from './soaked.mjs';
import { code } from './code.mjs';

const library = process.argv[2];
const lib = koffi.load(library);
const fn = (declaration) => lib.func(declaration);
const [run, start, stop] = [fn('void run(long)'), fn('void start()'), fn('void stop()')];
const [own, wrong] = [fn('long told_so_far()'), fn('long went_wrong()')];
const [stepOnce, stepAt] = [fn('int step_once(int)'), fn('long step_at()')];
const isNull = fn('int is_null()');
const KEYS = ['wide_key', 'vary_key', 'tell', 'step'];
const app = open(library);
const targets = () => KEYS.map((key) => app.keys[key].target);
// Not of a key that goes off by one byte: what stands behind that is not told.
const sites = () =>
  app.sites().flatMap(({ key, address, bytes }) => (key === 'tell' ? [] : `${address}: ${bytes}`));
const out = {};

// Threads that have ended: as many as there were, the empty key's too.
const before = sites();
for (const tell of [null, 'told']) {
  app.update({ tell });
  const traces = KEYS.map((key) => app.trace(key));
  const from = own();
  out[`during ${tell}`] = targets();
  run(20_000);
  out[`counted ${tell}`] = traces.map(({ calls }) => calls);
  out[`own ${tell}`] = own() - from;
  for (const trace of traces) trace.stop();
  out[`timed ${tell}`] = traces.every(
    ({ ns, calls, perSecond }) => perSecond === calls / (ns / 1e9),
  );
  run(100);
  out[`after ${tell}`] = traces.map(({ calls, target, retargeted }) => [calls, target, retargeted]);
}
out.targets = targets();
app.update({ tell: null });
out.sites = sites().every((site, i) => site === before[i]);
out.verify = app.verify();
out.null = isNull();

// Threads that run: between what the program counted inside of the trace and around of it.
start();
out.bounds = [];
for (let i = 0; i < 20; i++) {
  const outer = own();
  const traces = ['wide_key', 'vary_key', 'step'].map((key) => app.trace(key));
  const inner = own();
  while (own() < inner + 1000);
  const least = own() - inner;
  for (const trace of traces) trace.stop();
  // A thread that had begun a call may still be about to count it.
  const most = own() - outer + 3;
  const sum = traces.reduce((total, { calls }) => total + calls, 0);
  // Each of three threads has counted in one key what the program counts a moment later, or not.
  out.bounds.push(sum >= least - 3 && sum <= most + 3 ? 'within' : [least, sum, most]);
}
const counters = new Set();
for (let i = 0; i < 50; i++) {
  const trace = app.trace('step');
  counters.add(stepAt());
  trace.stop();
}
out.counters = counters.size;
stop();

// What is updated before and meanwhile.
const earlier = app.update({ step: 'two' });
const trace = app.trace('step');
out.twice = code(() => app.trace('step'));
stepOnce(1);
trace.stop();
trace.stop();
earlier.undo();
out.undone = [trace.calls, app.keys.step.target, stepOnce(1)];
const replaced = app.trace('step');
stepOnce(1);
app.update({ step: 'ret0' });
stepOnce(1);
replaced.stop();
out.replaced = [replaced.calls, replaced.retargeted, app.keys.step.target, stepOnce(1)];
const zero = app.trace('step');
out.ret0 = [stepOnce(1), zero.calls, zero.target];
zero[Symbol.dispose]();
out.staysEmpty = app.keys.step.target;

out.static = code(() => app.trace('verbose'));
out.unknown = code(() => app.trace('steps'));
const open1 = app.trace('step');
app.close();
open1.stop();
out.closed = [code(() => app.trace('step')), stepOnce(1), open1.retargeted];
out.wrong = wrong();
console.log(JSON.stringify(out));
