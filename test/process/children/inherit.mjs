// What a child of fork can do to this process by what it inherits. argv: JSON {library, options, how}.
import { open, unchecked } from '#index';
import { assemble, mem } from '#asm/assembler';
import { readMaps } from '#machine/linux/maps';
import { MAP, openNative, PROT } from '#machine/linux/native';
import { koffi } from './soaked.mjs';

const { library, options, how } = JSON.parse(process.argv[2]);
const lib = koffi.load(library);
const attack = lib.func('long attack(int, uint64, uint64)');
const intact = lib.func('int intact()');
const pass = lib.func('long pass(long)');
const native = openNative();

/** A function that adds n, further away than a 32-bit displacement reaches. */
function farAdd(text, n) {
  const at = native.call(
    'mmap',
    text - (text % 4096) + n * 3 * 2 ** 30,
    4096,
    PROT.read | PROT.write,
    MAP.private | MAP.anonymous | MAP.fixedNoReplace,
    -1,
    0,
  );
  if (at < 0) throw new Error(`no far page: ${at}`);
  new Uint8Array(native.view(at, 4096)).set(
    assemble([['lea', 'rax', mem('rdi', n)], ['ret']]).bytes,
  );
  native.call('mprotect', at, 4096, PROT.read | PROT.exec);
  return BigInt(at);
}

const app = open(library, options);
const [site] = app.sites('act').filter((s) => s.kind === 'call');
const far = [1, 2].map((n) => farAdd(Number(site.address), n));
const led = () => {
  const { bytes, address } = app.sites('act').find((s) => s.kind === 'call');
  return Number(address) + 5 + Buffer.from(bytes, 'hex').readInt32LE(1);
};
app.update({ act: unchecked(far[0]) });
const veneer = led();
/** Copies of the text that the parent made for its child. */
const copies = () => readMaps().filter((m) => m.access === 'r-xp' && m.path === '').length;
const before = copies();
const answer = Number(attack(how === 'clone' ? 1 : 0, veneer, Number(site.address)));
const after = { passed: Number(pass(1)), intact: intact(), drift: app.verify().length };
app.update({ act: unchecked(far[1]) });
const second = Number(pass(1));
app.update({ act: 'act_one' });
console.log(
  JSON.stringify({
    tried: Math.trunc(answer / 1000),
    written: answer % 1000,
    copies: copies() - before,
    veneer: BigInt(veneer) !== far[0],
    after: { ...after, second, last: Number(pass(1)) },
  }),
);
