// Fails every effect of opening in turn, each time for a fresh copy of the program: first while the process has nothing of ours
// yet, and with what each failure left, then with the program opened again after the refusal, updated, and closed with an
// effect of that refused as well. argv: JSON {libraries, options}.
import { readdirSync } from 'node:fs';
import { isFault } from '#index';
import { openWith } from '#app/open';
import { openNative } from '#machine/process/native';
import { readMaps } from '#machine/process/maps';
import { intercept } from '../inject.mjs';
import { bitsOf, openGrid } from './gridded.mjs';
import { differsFromFile } from './soaked.mjs';

const { libraries, options } = JSON.parse(process.argv[2]);
const plain = openNative();
let [from, count] = [Infinity, 0];
/** What the effects so far were. */
let names = [];
/** A page for which threads compete: who does not get it tries again. */
const CLAIM = 0x5ca1_1000_0000;
const native = intercept(plain, ({ name, args }) => {
  if (args[0] === CLAIM) return undefined;
  names.push(name);
  return count++ === from ? -12 : undefined;
});
const files = () => readdirSync('/proc/self/fd').length;

const problems = [];
const codes = { open: {}, close: {} };
const INITIAL = bitsOf({ work: 'work_one', hook: null });
const NEXT = { work: 'work_three', hook: 'hook_six' };
const check = (k, what, holds) => holds || problems.push({ k, what });
function fault(k, doing, body) {
  try {
    body();
    return false;
  } catch (error) {
    if (!isFault(error)) throw error;
    codes[doing][error.code] = (codes[doing][error.code] ?? 0) + 1;
    return true;
  }
}

const kept = [];
const nextCopy = () => {
  const path = libraries.shift();
  const grid = openGrid(path);
  kept.push(grid);
  return { path, grid };
};
const grounds = () => readMaps().filter((m) => m.path.startsWith('/memfd:static-call ') && m.offset === 0).length;

let [opened, closed] = [0, 0];
/** Fails one effect after the other until nothing fails. Where one left something for the next (the ground, memory), it begins anew. */
for (let k = 0, before = []; ; k++, before = names) {
  const { path, grid } = nextCopy();
  const open = files();
  [from, count, names] = [k, 0, []];
  let app;
  const failed = fault(k, 'open', () => (app = openWith(native, path, options)));
  from = Infinity;
  app?.close();
  check(k, 'calls go where they went', grid.now() === INITIAL);
  check(k, 'no file is left open', files() === open);
  check(k, 'there is one ground or none', grounds() <= 1);
  if (!failed) break;
  opened++;
  if (names.slice(0, k).join() !== before.slice(0, k).join()) k = -1;
}
// Then, with all of the process's own made, each program is opened, updated and closed after the refusal.
for (let k = 0; ; k++) {
  const { path, grid } = nextCopy();
  const before = files();
  [from, count] = [k, 0];
  let app;
  const failed = fault(k, 'open', () => (app = openWith(native, path, options)));
  const effects = count;
  from = Infinity;
  check(k, 'calls go where they went', grid.now() === INITIAL);
  if (failed) {
    check(k, 'no file is left open', files() === before);
    opened++;
    app = openWith(native, path, options);
  }
  app.update(NEXT);
  check(k, 'it can be opened and updated', grid.now() === bitsOf(NEXT) && app.verify().length === 0);
  [from, count] = [k, 0];
  const refused = fault(k, 'close', () => app.close());
  from = Infinity;
  const now = grid.now();
  check(k, 'closing ends in one state', now === INITIAL || now === bitsOf(NEXT));
  if (refused) {
    closed++;
    app.close();
  }
  check(k, 'closed, it is as it was', grid.now() === INITIAL && differsFromFile(plain, readMaps, path) === 0);
  check(k, 'no file is left open after closing', files() === before);
  if (k >= effects) break;
}
console.log(JSON.stringify({ opened, closed, codes, problems: problems.slice(0, 10) }));
