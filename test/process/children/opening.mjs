// Fails every effect of opening in turn, each time for a fresh copy of the program: first while the
// process has nothing of ours yet, then with the program opened again after the refusal, updated,
// and closed with an effect of that refused as well. argv: JSON {libraries, options}.
import { readdirSync } from 'node:fs';
import { isFault } from '#index';
import { openWith } from '#app/open';
import { openNative } from '#machine/linux/native';
import { Runtime } from '#machine/process/runtime';
import { readMaps } from '#machine/linux/maps';
import { allRecords } from '#machine/process/records';
import { knownAlias } from '#machine/process/alias';
import { intercept } from '../inject.mjs';
import { bitsOf, openGrid } from './gridded.mjs';
import { differsFromFile } from './soaked.mjs';

const { libraries, options } = JSON.parse(process.argv[2]);
const plain = openNative();
let [from, count] = [Infinity, 0];
/**
 * Effects of an opening by who asks for them, how often in this one; `tried` holds those that were
 * refused once.
 */
let [each, asked, tried] = [false, new Map(), new Set()];
const native = intercept(plain, ({ name }) => {
  if (!each) return count++ === from ? -12 : undefined;
  const caller = `${name} ${new Error().stack.split('\n').slice(3, 6).join()}`;
  const nth = (asked.get(caller) ?? 0) + 1;
  asked.set(caller, nth);
  // An opening does without this page (process/procmem.ts), and what follows would not be refused.
  if (count > 0 || tried.has(caller + nth) || caller.includes('mapAlone')) return undefined;
  tried.add(caller + nth);
  count++;
  return -12;
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
const runtimes = () =>
  readMaps().filter((m) => m.path.startsWith('/memfd:static-call ') && m.offset === 0).length;

let [opened, closed] = [0, 0];
/**
 * In each opening the first effect is refused that never was; what the one before left (the runtime,
 * memory) is there by then.
 */
for (; ; opened++) {
  const { path, grid } = nextCopy();
  const open = files();
  [each, count, asked] = [true, 0, new Map()];
  let app;
  const failed = fault(opened, 'open', () => (app = openWith(native, path, options)));
  each = false;
  app?.close();
  check(opened, 'calls go where they went', grid.now() === INITIAL);
  check(opened, 'no file is left open', files() === open);
  check(opened, 'there is one runtime or none', runtimes() <= 1);
  if (!failed) break;
}
// Then, with all of the process's own made, each program is opened, updated and closed after the
// refusal.
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
    check(
      k,
      'opened again, calls go where they went',
      grid.now() === INITIAL &&
        app.keys.work.target === 'work_one' &&
        app.keys.hook.target === null,
    );
  }
  app.update(NEXT);
  check(
    k,
    'it can be opened and updated',
    grid.now() === bitsOf(NEXT) && app.verify().length === 0,
  );
  [from, count] = [k, 0];
  const refused = fault(k, 'close', () => app.close());
  from = Infinity;
  const now = grid.now();
  check(k, 'closing ends in one state', now === INITIAL || now === bitsOf(NEXT));
  if (refused) {
    closed++;
    app.close();
  }
  check(
    k,
    'closed, it is as it was',
    grid.now() === INITIAL && differsFromFile(plain, readMaps, path) === 0,
  );
  check(k, 'no file is left open after closing', files() === before);
  if (k >= effects) break;
}
// A record that an opening left behind would be found in place of the one that the next opening
// made; text that is shared and in no list would be shared with a child of fork.
const runtime = new Runtime(plain);
const keys = [...allRecords(runtime)].map((record) => record.word('key'));
const shared = readMaps().filter(
  (m) => m.path.startsWith('/memfd:static-call-text') && m.access.includes('x'),
);
check(
  -1,
  'every text that is mapped twice is known',
  shared.every((m) => knownAlias(runtime, m.start, m.end) !== null),
);
check(-1, 'every key has one record', new Set(keys).size === keys.length);
console.log(JSON.stringify({ opened, closed, codes, problems: problems.slice(0, 10) }));
