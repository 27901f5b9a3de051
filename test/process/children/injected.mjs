// Fails every effect of a batch in turn while native threads pass its sites, and after each looks
// at everything that must agree. argv: JSON {library, options, how, mutant}: `how` is once, good
// (from then on), short (a write stops half-way, once), short by one, one byte, short, then good
// (the next is refused, and all from then on) or unregistered (a synchronisation says EPERM once,
// which is mended on the spot). Prints what came of it.
import { isFault } from '#index';
import { openWith } from '#app/open';
import { openNative } from '#machine/linux/native';
import { intercept } from '../inject.mjs';
import { bitsOf, openGrid } from './gridded.mjs';

const { library, options, how, mutant } = JSON.parse(process.argv[2]);
const ERRORS = [-4, -5, -12]; // EINTR, EIO, ENOMEM

const grid = openGrid(library);
const plain = openNative();
let from = Infinity;
let count = 0;
const [EPERM, SYNC] = [-1, 32];
/** How much of a write of so many bytes is done. */
const PART = {
  short: (n) => n >> 1,
  'short by one': (n) => n - 1,
  'one byte': () => 1,
  'short, then good': (n) => n >> 1,
};
const native = intercept(plain, ({ name, args }) => {
  if (how === 'unregistered')
    return name === 'membarrier' && args[0] === SYNC && count++ === from ? EPERM : undefined;
  const k = count++;
  if (how.endsWith('good') ? k < from : k !== from) return undefined;
  if (k === from && how in PART && name === 'pwrite' && args[2] > 1) {
    const [file, buffer, size, at] = args;
    return plain.call('pwrite', file, buffer, PART[how](size), at);
  }
  return ERRORS[k % ERRORS.length];
});
const app = openWith(native, library, options);
if (mutant === 'forgets-parked') app.verify = () => [];

// Twelve states, each of which differs from the next in both keys.
const [WORK, HOOK] = [
  ['work_one', 'work_two', 'ret0', 'work_three'],
  [null, 'hook_five', 'hook_six'],
];
const STATES = Array.from({ length: 12 }, (_, i) => ({ work: WORK[i % 4], hook: HOOK[i % 3] }));
const targets = () => ({ work: app.keys.work.target, hook: app.keys.hook.target });
const problems = [];
const ends = {};
const steps = new Set();
grid.start(2);
// Once around, so that what is made at first use is there.
for (const state of STATES) app.update(state);
app.update(STATES[0]);

/**
 * Everything that must agree, whatever happened: what all sites do, the keys, what C is told, and
 * verify().
 */
function look(k, parked, mixed = false, bits = 0) {
  const [now, keys] = [grid.now(), targets()];
  const what = [];
  const right = mixed ? (now & ~bits) === 0 : now === bitsOf(keys);
  if (!right) what.push(`sites do ${now.toString(2)}, keys say ${JSON.stringify(keys)}`);
  const drifts = app.verify();
  if (drifts.some((d) => d.kind !== 'parked')) what.push('foreign drift');
  if ((parked || mixed) !== drifts.length > 0) what.push(`${drifts.length} drifts`);
  if (app.keys.work.target !== 'ret0' && grid.query() === 0) what.push('C sees no target');
  if (what.length > 0) problems.push({ k, what });
  return keys;
}

count = 0;
app.update(STATES[1]);
let state = STATES[1];
const effects = count;
let [tried, absent] = [0, 0];
for (let k = 0; k < effects; k++) {
  const next = STATES[(STATES.indexOf(state) + 1) % STATES.length];
  count = 0;
  from = k;
  let [parked, mixed] = [false, false];
  try {
    app.update(next);
    // Not every change has as many effects as the one that was counted.
    if (count <= k) {
      state = next;
      absent++;
      from = Infinity;
      continue;
    }
    if (how !== 'unregistered') problems.push({ k, what: ['unnoticed'] });
  } catch (error) {
    if (!isFault(error)) throw error;
    if (how === 'unregistered') problems.push({ k, what: [error.code] });
    parked = error.code === 'update-parked';
    mixed = error.code === 'update-mixed';
    ends[error.code] = (ends[error.code] ?? 0) + 1;
    steps.add(Number(/^step (\d+) failed/.exec(error.message)?.[1] ?? -1));
    if (!isFault(error.cause)) problems.push({ k, what: ['no cause', error.code, error.message] });
  }
  from = Infinity;
  const keys = look(k, parked, mixed, bitsOf(state) | bitsOf(next));
  if (
    JSON.stringify(keys) !== JSON.stringify(state) &&
    JSON.stringify(keys) !== JSON.stringify(next)
  )
    problems.push({ k, what: ['neither old nor new'] });
  app.update(next);
  look(k, false);
  if (JSON.stringify(targets()) !== JSON.stringify(next))
    problems.push({ k, what: ['not mended'] });
  state = next;
  tried++;
}
grid.stop();
const counts = grid.counts();
app.close();
const back = app.verify();
console.log(
  JSON.stringify({
    effects,
    tried,
    absent,
    ends,
    steps: [...steps].sort(),
    problems: problems.slice(0, 5),
    passes: grid.passes(),
    lost: grid.passes() * grid.sites() - counts.reduce((a, b) => a + b),
    counts,
    back: back.length,
  }),
);
