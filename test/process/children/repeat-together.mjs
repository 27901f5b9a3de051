// Two keys that are updated together or apart, in an order that a number decides, and what may come
// in between: another program changes one of them, other code writes one of the sites, a
// synchronisation is refused. argv: JSON {library, writer, seed, updates}. Prints how many updates
// of both were one call into machine code, what came in between and how often, and what was wrong.
import { closeSync, openSync, writeSync } from 'node:fs';
import { isFault } from '#index';
import { openWith } from '#app/open';
import { openNative } from '#machine/linux/native';
import { knownAlias } from '#machine/process/alias';
import { Runtime } from '#machine/process/runtime';
import { intercept, observed } from '../inject.mjs';

const { library, writer, seed, updates } = JSON.parse(process.argv[2]);
const SYNC = 32;
const EIO = -5;
let [refused, calls] = [false, 0];
const plain = intercept(openNative(), ({ name, args }) =>
  refused && name === 'membarrier' && args[0] === SYNC ? EIO : undefined,
);
const native = observed(plain, () => calls++);
const app = openWith(native, library, { writer });
const other = openWith(plain, library, { writer });
const lib = native.library(library);
const [step, tell] = [lib('int64 updates_step(int64)'), lib('int64 updates_tell()')];

let state = seed;
/** A number below n: the generator of Park and Miller. */
const below = (n) => (state = (state * 48271) % 2147483647) % n;
const TARGETS = { step: ['step_one', 'step_two'], tell: ['tell_once', 'tell_twice', null] };
const ADDS = { step_one: 1, step_two: 2, tell_once: 1, tell_twice: 2 };
const anyOf = (names) =>
  Object.fromEntries(names.map((name) => [name, TARGETS[name][below(TARGETS[name].length)]]));
const WHICH = [['step', 'tell'], ['step', 'tell'], ['tell', 'step'], ['step'], ['tell']];

const told = { together: 0, between: {}, wrong: [] };
const model = { step: 'step_one', tell: 'tell_once' };
const isAs = (wanted) =>
  Object.entries(wanted).every(([name, to]) => app.keys[name].target === to) &&
  Number(step(10)) === 10 + ADDS[wanted.step] &&
  Number(tell()) === (ADDS[wanted.tell] ?? 0);

const memory = openSync('/proc/self/mem', 'r+');
const siteOf = (name) => Number(app.sites(name).find(({ kind }) => kind !== 'trampoline').address);
const update = (wanted) => {
  calls = 0;
  try {
    app.update(wanted);
    return null;
  } catch (error) {
    if (!isFault(error)) throw error;
    return error.code;
  }
};
const BETWEEN = {
  'another program changes a key': () => {
    const changed = anyOf([['step'], ['tell']][below(2)]);
    other.update(changed);
    Object.assign(model, changed);
  },
  'other code writes a site': () => {
    const name = ['step', 'tell'][below(2)];
    const at = siteOf(name);
    const place = knownAlias(new Runtime(plain), at, at + 1) ?? at;
    const byte = new Uint8Array(plain.view(at, 1));
    const was = byte[0];
    writeSync(memory, Buffer.of(0xf4), 0, 1, place);
    // Both keys change, so that the site that was written is one of those to be changed.
    const [to] = TARGETS[name].filter((each) => each !== model[name]);
    const rest = name === 'step' ? 'tell' : 'step';
    const code = update({ [rest]: TARGETS[rest][below(2)], [name]: to });
    writeSync(memory, Buffer.of(was), 0, 1, place);
    if (code !== 'drift') told.wrong.push(`a written site: ${code}`);
  },
  'a synchronisation is refused': () => {
    const wanted = anyOf(['step', 'tell']);
    refused = true;
    const code = update(wanted);
    refused = false;
    // All of it or nothing of it.
    const now = { step: app.keys.step.target, tell: app.keys.tell.target };
    if (code !== null && code !== 'update-failed') told.wrong.push(`a refusal: ${code}`);
    if (!isAs(model) && !isAs({ ...model, ...wanted })) told.wrong.push('a refusal tore an update');
    Object.assign(model, now);
  },
};

app.update(model);
for (let k = 0; k < updates && told.wrong.length < 5; k++) {
  const wanted = anyOf(WHICH[below(WHICH.length)]);
  const changes = Object.entries(wanted).filter(([name, to]) => model[name] !== to);
  const code = update(wanted);
  Object.assign(model, wanted);
  if (code !== null) told.wrong.push(`update ${k}: ${code}`);
  if (!isAs(model)) told.wrong.push(`update ${k} of ${JSON.stringify(wanted)}`);
  if (changes.length === 2 && calls === 1) told.together++;
  if (k % 7 !== 6) continue;
  const what = Object.keys(BETWEEN)[below(3)];
  BETWEEN[what]();
  told.between[what] = (told.between[what] ?? 0) + 1;
  if (!isAs(model)) told.wrong.push(`update ${k}, then ${what}`);
}
told.drifts = app.verify().length;
closeSync(memory);
other.close();
app.close();
console.log(JSON.stringify(told));
