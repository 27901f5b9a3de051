// Counts what updates of one key, of eight, of nine and of all ask of native code. System calls are
// not counted, because a look at the threads' signal masks comes by the clock. argv: a library of
// keys with the targets many_a and many_b, and the writer.
import { openWith } from '#app/open';
import { openNative } from '#machine/linux/native';

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
/**
 * Of the third time there and back: what is found once was found the first time, and what is kept
 * of an update that was asked for again was written down the second time.
 */
const callsOf = (some) => {
  for (let k = 0; k < 6; k++) {
    calls = {};
    to(some, k % 2 === 0 ? 'many_b' : 'many_a');
  }
  return { ...calls };
};
const [one, eight, nine] = [1, 8, 9].map((count) => callsOf(names.slice(0, count)));
const out = { one, eight, nine, all: callsOf(names) };
out.inline = to(names, 'many_b').inline;
out.targets = [...new Set(names.map((name) => app.keys[name].target))];
out.drift = app.verify().length;
// An update of many keys makes the list of its changes when it is first asked for.
const update = to(names, 'many_a');
out.listed = [typeof Object.getOwnPropertyDescriptor(update, 'changes').get];
out.listed.push(update.changes.length, update.changes === update.changes);
for (let k = 0; k < 250; k++) to(names, k % 2 === 0 ? 'many_a' : 'many_b');
const { journal } = app;
out.journal = {
  updates: journal.length,
  changes: journal.reduce((sum, { changes }) => sum + changes.length, 0),
  last: journal.at(-1).changes.length,
};
app.close();
console.log(JSON.stringify(out));
