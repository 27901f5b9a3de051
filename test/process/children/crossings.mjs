// Counts how often an update leaves JavaScript, by what. argv: JSON {library, options}.
import { openWith } from '#app/open';
import { openNative } from '#machine/linux/native';

const { library, options } = JSON.parse(process.argv[2]);
const plain = openNative();
const counts = { code: 0, calls: 0, others: 0 };
const counted =
  (what, body) =>
  (...args) => {
    counts[what]++;
    return body(...args);
  };
const native = {
  ...plain,
  procedure: (at) => counted('code', plain.procedure(at)),
  call: counted('calls', plain.call),
};
for (const name of ['view', 'addressOf', 'sigaction'])
  native[name] = counted('others', plain[name]);

const app = openWith(native, library, options);
const STATES = [
  { work: 'work_two', hook: 'hook_five' },
  { work: 'work_three', hook: null },
];
// What is made at first use, and the look at every thread, come before. A look is ten times a
// second of this clock, which stands from here on.
for (let i = 0; i < 10; i++) app.update(STATES[i % 2]);
const now = performance.now();
performance.now = () => now;
const UPDATES = 100;
Object.assign(counts, { code: 0, calls: 0, others: 0 });
for (let i = 0; i < UPDATES; i++) app.update(STATES[i % 2]);
const each = Object.fromEntries(Object.entries(counts).map(([what, n]) => [what, n / UPDATES]));
const sites = app.sites().length;
// The journal forgets the oldest half of a thousand at once.
for (let i = 0; i < 1000; i++) app.update(STATES[i % 2]);
const journal = { length: app.journal.length, last: app.journal.at(-1).changes.map((c) => c.to) };
app.close();
console.log(JSON.stringify({ each, sites, journal }));
