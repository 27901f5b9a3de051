// Looks at a process while an update is held with its trap bytes visible. argv: JSON {library,
// what, flags, gdb, only}: with `only` nothing is done after the look, for a thread that was sent
// the wrong way may not come back.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { openWith } from '#app/open';
import { openNative } from '#machine/linux/native';
import { Runtime } from '#machine/process/runtime';
import { TrapWatch } from '#machine/process/signals';
import { holdAtSync } from '../inject.mjs';
import { koffi } from './soaked.mjs';

/** What is asked here is about traps. */
const TRAPS = { protocol: 'int3' };

const { library, what, flags, gdb, only } = JSON.parse(process.argv[2]);
const held = koffi.load(library);
const start = held.func('int held_start()');
const stays = held.func('int held_stays()');
const finish = held.func('long held_finish()');
const thrown = held.func('long held_throw(long)');
const [stormStart, stormStop] = [held.func('int storm_start()'), held.func('void storm_stop()')];
const [handled, passed, wrong] = ['handled', 'passed', 'wrong'].map((name) =>
  held.func(`long storm_${name}()`),
);
const sleep = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

const plain = openNative();
// Installed by the test with flags of its own choice, it is found in place and kept.
if (flags !== undefined) new TrapWatch(new Runtime(plain), flags).check();

function backtrace() {
  const done = spawnSync(
    gdb,
    [
      '-nx',
      '-batch',
      '-iex',
      'set auto-solib-add off',
      '-iex',
      'set debuginfod enabled off',
      '-p',
      String(process.pid),
      '-ex',
      'sharedlibrary held',
      '-ex',
      'thread apply all backtrace 10',
    ],
    { encoding: 'utf8' },
  );
  return done.stdout + done.stderr;
}
/** A thread goes through the site and stays in the target while gdb looks. */
function look() {
  start();
  while (stays() === 0) sleep(5);
  const seen = gdb ? backtrace() : '';
  if (only) {
    console.log(JSON.stringify({ during: { seen } }));
    process.exit(0);
  }
  return { seen, result: Number(finish()) };
}

const LOOKS = {
  backtrace: look,
  exception: () => ({ thrown: [5, 6, 7].map((x) => Number(thrown(x))) }),
  storm() {
    stormStart();
    for (let waited = 0; waited < 20_000 && (waited < 500 || Number(handled()) < 200); waited += 50)
      sleep(50);
    stormStop();
    return { handled: Number(handled()), passed: Number(passed()), wrong: Number(wrong()) };
  },
};

let during = null;
// Before the second synchronisation the trap is in place and the rest of the site is new already.
const hold = holdAtSync(plain, 1, () => {
  const site = app.sites('act').find((s) => s.where.includes('middle'));
  const before = app.traps;
  during = { first: site.bytes.slice(0, 2), ...LOOKS[what]() };
  during.traps = app.traps - before;
});
const app = openWith(hold.native, library, TRAPS);
const target = { backtrace: 'act_stay', exception: 'act_throw', storm: 'act_quiet' }[what];
if (what === 'storm') app.update({ act: 'act_stay' });
hold.arm();
app.update({ act: target });
const after = { ...LOOKS[what](), traps: app.traps };
// What a profiler does with an address: the mapping that holds it names the file, and the offset is
// the file's.
const resolved = app.sites().every(({ address }) =>
  readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .some((line) => {
      const [, from, to, access] = /^([0-9a-f]+)-([0-9a-f]+) (\S+)/.exec(line) ?? [];
      return (
        from &&
        address >= BigInt(`0x${from}`) &&
        address < BigInt(`0x${to}`) &&
        access === 'r-xp' &&
        line.endsWith(` ${app.path}`)
      );
    }),
);
console.log(
  JSON.stringify({
    during,
    after: { ...after, traps: app.traps - after.traps },
    drift: app.verify().length,
    resolved,
  }),
);
