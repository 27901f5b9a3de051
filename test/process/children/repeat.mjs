// An update that is asked for again and again, and what may have come in between. argv: JSON
// {library, writer}. Prints how many calls into machine code an update takes, and what came of each
// thing that came in between.
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { isFault } from '#index';
import { openWith } from '#app/open';
import { openNative } from '#machine/linux/native';
import { knownAlias } from '#machine/process/alias';
import { Runtime } from '#machine/process/runtime';
import { intercept, observed } from '../inject.mjs';

const { library, writer } = JSON.parse(process.argv[2]);
const SYNC = 32;
const EIO = -5;
let [refused, calls] = [false, 0];
/** Called before each call into machine code, with the code and what it is handed. */
let before = () => {};
const plain = intercept(openNative(), ({ name, args }) =>
  refused && name === 'membarrier' && args[0] === SYNC ? EIO : undefined,
);
const native = observed(plain, (code, script) => {
  calls++;
  before(code, script);
});
const app = openWith(native, library, { writer });
const run = native.library(library)('int64 updates_step(int64)');
const target = () => [app.keys.step.target, Number(run(10)), app.verify().length];
const update = (step) => {
  calls = 0;
  try {
    app.update({ step });
    return calls;
  } catch (error) {
    if (!isFault(error)) throw error;
    return error.code;
  }
};
const there = () => update('step_two');
const back = () => update('step_one');
const both = () => [there(), ...target(), back(), ...target()];

back();
const first = there();
back();
there();
back();
const again = both();

// A hook that is off keeps what it called last, so from off to a target is one of several updates.
const tell = (to) => {
  calls = 0;
  app.update({ tell: to });
  return calls;
};
const ways = ['tell_once', null, 'tell_twice', null, 'tell_twice', null, 'tell_once', null];
for (let k = 0; k < 3; k++) ways.forEach(tell);
const hook = ways.map(tell);

// Other code writes a byte of a site: through the file, as a debugger does.
const memory = openSync('/proc/self/mem', 'r+');
const [site] = app.sites('step').filter(({ kind }) => kind !== 'trampoline');
const at = Number(site.address);
const place = knownAlias(new Runtime(plain), at, at + 1) ?? at;
const byte = new Uint8Array(plain.view(at, 1));
const put = (value) => writeSync(memory, Buffer.of(value), 0, 1, place);
const was = byte[0];
put(0xf4);
const foreign = [there(), byte[0] === 0xf4, app.keys.step.target];
put(was);
foreign.push(...both());
closeSync(memory);

// A synchronisation is refused: the update is taken back, and the next one is made anew.
refused = true;
const unsynced = [there(), app.keys.step.target, app.verify().length];
refused = false;
unsynced.push(...both(), ...both());

// A copy of the process inherits the descriptor of its parent's memory, and the script that names
// it: whether it goes through there, and what runs here then.
let copied = null;
if (writer === 'procmem') {
  const within = native.library(library)('int64 updates_in_copy(int64, int64)');
  before = (code, script) => (copied = [Number(within(code, script)), Number(run(10))]);
  there();
  before = () => {};
  copied.push(back(), ...target());
}

// The descriptor is closed, and its number belongs to another file.
let closed = null;
if (writer === 'procmem') {
  const held = readdirSync('/proc/self/fd')
    .map(Number)
    .find((fd) => {
      try {
        return /^\/proc\/.*\/mem$/.test(readlinkSync(`/proc/self/fd/${fd}`));
      } catch {
        return false;
      }
    });
  const path = `${library}.other`;
  writeFileSync(path, 'not ours');
  closeSync(held);
  const taken = openSync(path, 'r+');
  closed = [taken === held, there(), ...target(), readFileSync(path, 'latin1')];
  back();
  closed.push(...both());
}

// Another program of the process changes the key, and maps the text anew.
const other = openWith(plain, library, { writer: 'alias' });
const between = [];
for (let k = 0; k < 3; k++) {
  other.update({ step: 'step_two' });
  between.push(back(), ...target());
}
between.push(...both());
other.close();
app.close();
console.log(JSON.stringify({ first, again, hook, foreign, unsynced, copied, closed, between }));
