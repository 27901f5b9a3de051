// Counts what an update of one key and one of all keys ask of native code. System calls are not
// counted, because a look at the threads' signal masks comes by the clock. argv: a library of keys
// with the targets many_a and many_b, and the writer.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { openWith } from '#app/open';
import { openNative } from '#machine/linux/native';

setFlagsFromString('--expose-gc');
const [library, writer] = process.argv.slice(2);
const native = openNative();
let calls = {};
const count = (what) => (calls[what] = (calls[what] ?? 0) + 1);
const counted = (what, body) =>
  function (...args) {
    count(what);
    return body(...args);
  };
const app = openWith(
  {
    ...native,
    addressOf: counted('addresses', native.addressOf),
    view: counted('views', native.view),
    read: counted('copies', native.read),
    procedure: (at) => counted('machine code', native.procedure(at)),
  },
  library,
  { writer },
);
const names = Object.keys(app.keys);
const to = (some, target) => app.update(Object.fromEntries(some.map((name) => [name, target])));
/** Of the second time there and back: what is found once was found the first time. */
const callsOf = (some) => {
  for (let k = 0; k < 4; k++) {
    calls = {};
    to(some, k % 2 === 0 ? 'many_b' : 'many_a');
  }
  return { ...calls };
};
const out = { one: callsOf(names.slice(0, 1)), all: callsOf(names) };
out.inline = to(names, 'many_b').inline;
out.targets = [...new Set(names.map((name) => app.keys[name].target))];
out.drift = app.verify().length;
// What twenty updates keep, in bytes for a change.
const collect = runInNewContext('gc');
const heap = () => {
  collect();
  return process.memoryUsage().heapUsed;
};
const before = heap();
for (let k = 0; k < 20; k++) to(names, k % 2 === 0 ? 'many_a' : 'many_b');
out.kept = (heap() - before) / (20 * names.length);

for (let k = 0; k < 250; k++) to(names, k % 2 === 0 ? 'many_a' : 'many_b');
const { journal } = app;
out.journal = {
  updates: journal.length,
  changes: journal.reduce((sum, { changes }) => sum + changes.length, 0),
  last: journal.at(-1).changes.length,
};
app.close();
console.log(JSON.stringify(out));
