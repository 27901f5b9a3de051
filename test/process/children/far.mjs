// Targets near, 1 GiB and more than 2 GiB away on both sides. argv: JSON {library, mutant}. Prints
// for each distance what the sites return and whether a veneer stands between.
import { isFault, open, unchecked } from '#index';
import { openNative, MAP, PROT } from '#machine/linux/native';
import { Veneers, REACH } from '#machine/process/veneers';
import { assemble, mem } from '#asm/assembler';
import { koffi } from './soaked.mjs';

const { library, mutant } = JSON.parse(process.argv[2]);
// The mistake: every target is taken to be within reach.
if (mutant === 'no-range-check') Veneers.prototype.reaches = () => true;

const native = openNative();
const lib = koffi.load(library);
const calls = ['far_call', 'far_tail', 'far_query'].map((name) => lib.func(`long ${name}(long)`));
const app = open(library);
const text = Number(app.sites('far')[0].address);
const base = text - (text % 4096);

const rows = [];
for (const [i, distance] of [
  2 ** 30,
  REACH - 2 ** 20,
  REACH + 2 ** 20,
  3 * 2 ** 30,
  -(2 ** 30),
  -(3 * 2 ** 30),
  -(2 ** 36),
].entries()) {
  const at = native.call(
    'mmap',
    base + distance - (distance % 4096),
    4096,
    PROT.read | PROT.write,
    MAP.private | MAP.anonymous | MAP.fixedNoReplace,
    -1,
    0,
  );
  if (at < 0) {
    rows.push({ distance, skipped: at });
    continue;
  }
  new Uint8Array(native.view(at, 4096)).set(
    assemble([['lea', 'rax', mem('rdi', i + 2)], ['ret']]).bytes,
  );
  native.call('mprotect', at, 4096, PROT.read | PROT.exec);
  try {
    app.update({ far: unchecked(BigInt(at)) });
    const called = app.sites('far').find((s) => s.where.startsWith('far_call'));
    const rel32 = Buffer.from(called.bytes, 'hex').readInt32LE(1);
    rows.push({
      distance,
      adds: i + 2,
      got: calls.map((f) => Number(f(1000))),
      veneer: Number(called.address) + 5 + rel32 !== at,
      drift: app.verify().length,
      target: app.keys.far.target === `0x${at.toString(16)}`,
    });
  } catch (error) {
    if (!isFault(error)) throw error;
    rows.push({ distance, fault: error.code });
  }
}
app.update({ far: 'near_target' });
rows.push({
  distance: 0,
  adds: 1,
  got: calls.map((f) => Number(f(1000))),
  veneer: false,
  drift: app.verify().length,
  target: true,
});
app.close();
console.log(JSON.stringify(rows));
