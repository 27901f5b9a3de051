// The update of a key of a thousand sites, asked for again and again, and once after other code
// wrote one of the sites. argv: JSON {library, writer}. Prints for each update the calls into
// machine code, how many sites have each target, and how many drift.
import { isFault } from '#index';
import { openWith } from '#app/open';
import { openNative } from '#machine/linux/native';
import { knownAlias } from '#machine/process/alias';
import { Runtime } from '#machine/process/runtime';
import { observed } from '../inject.mjs';

const { library, writer } = JSON.parse(process.argv[2]);
let calls = 0;
const plain = openNative();
const native = observed(plain, () => calls++);
const app = openWith(native, library, { writer });
const pass = native.library(library)('uint64 many_pass()');
const told = [];
function update(many) {
  calls = 0;
  let came;
  try {
    app.update({ many });
    came = calls;
  } catch (error) {
    if (!isFault(error)) throw error;
    came = error.code;
  }
  const counts = BigInt(pass());
  told.push([came, Number(counts & 0xffffffffn), Number(counts >> 32n), app.verify().length]);
}
for (let k = 0; k < 3; k++) ['many_two', 'many_one'].forEach(update);

// Of a site in the middle, another displacement: what it calls does not matter here, because the
// update is refused before anything runs.
if (writer === 'alias') {
  const at = Number(app.sites('many')[500].address);
  const last = new Uint8Array(plain.view(knownAlias(new Runtime(plain), at, at + 5) + 4, 1));
  const was = last[0];
  last[0] ^= 1;
  try {
    app.update({ many: 'many_two' });
    told.push('not refused');
  } catch (error) {
    told.push([error.code, Number(error.at) === at]);
  }
  last[0] = was;
  update('many_two');
}
console.log(JSON.stringify(told));
process.exit(0);
