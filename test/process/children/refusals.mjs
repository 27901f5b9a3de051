// Asks for what must be refused, and prints for each request what came of it: the fault, and
// whether any executable byte of an open program changed. argv: JSON {library, broken: {name:
// path}}.
import { openSync, writeSync } from 'node:fs';
import { isFault, open, unchecked } from '#index';
import { openWith } from '#app/open';
import { openNative } from '#machine/linux/native';
import { readMaps } from '#machine/linux/maps';
import { int3 } from '#plan/protocols/int3';
import { naive } from '#plan/protocols/naive';
import { intercept } from '../inject.mjs';
import { openSoaked } from './soaked.mjs';

const { library, other, broken } = JSON.parse(process.argv[2]);
const native = openNative();
const memory = openSync('/proc/self/mem', 'r+');

function text() {
  const maps = readMaps().filter(
    (m) => m.access.includes('x') && (m.path === library || m.path === other),
  );
  return Buffer.concat(
    maps.map((m) => Buffer.from(new Uint8Array(native.view(m.start, m.end - m.start)))),
  );
}
function refused(ask) {
  const before = text();
  let outcome;
  try {
    ask();
    outcome = { code: null, message: 'it was done' };
  } catch (error) {
    if (!isFault(error)) throw error;
    const { code, message, at, hint, exit } = error;
    outcome = { code, message, at: at ?? null, hint, exit };
  }
  return { ...outcome, unchanged: Buffer.compare(before, text()) === 0 };
}
const failing = (call, result) =>
  intercept(native, ({ name }) => (name === call ? result : undefined));

const soaked = openSoaked(library);
const rows = {};
for (const [name, path] of Object.entries(broken)) rows[name] = refused(() => open(path));
rows['no such file'] = refused(() => open('/nowhere/lib.so'));
rows['a directory'] = refused(() => open('/tmp'));

// `other` is in memory and not open: what stands on its sites is put there by this test.
const otherSoaked = openSoaked(other);
const otherSite = (() => {
  const app = open(library);
  const site = app.sites('work').find((s) => s.kind === 'call');
  app.close();
  const base = (path) => readMaps().find((m) => m.path === path && m.offset === 0).start;
  return Number(site.address) - base(library) + base(other);
})();
const poke = (at, byte, ask) => {
  const was = new Uint8Array(native.view(at, 1))[0];
  writeSync(memory, Uint8Array.of(byte), 0, 1, at);
  const row = refused(ask);
  writeSync(memory, Uint8Array.of(was), 0, 1, at);
  return row;
};
rows['a breakpoint before open'] = poke(otherSite, 0xcc, () => open(other));
rows['other bytes before open'] = poke(otherSite, 0x90, () => open(other));
rows['no membarrier'] = refused(() => openWith(failing('membarrier', -38), other, {}));
rows['no SYNC_CORE'] = refused(() => openWith(failing('membarrier', 1), other, {}));
rows['may not open /proc/self/mem'] = refused(() => openWith(failing('open', -13), other, {}));
rows['may not write /proc/self/mem'] = refused(() => openWith(failing('pwrite', -5), other, {}));
rows['no memory for the alias'] = refused(() =>
  openWith(failing('memfd_create', -12), other, { writer: 'alias' }),
);

const app = open(library);
const site = Number(app.sites('work').find((s) => s.kind === 'call').address);
rows['unknown key'] = refused(() => app.update({ wrok: 'work_a' }));
rows['unknown target'] = refused(() => app.update({ work: 'work_bb' }));
rows['a target of another key'] = refused(() => app.update({ work: 'hook_one' }));
rows['no such symbol'] = refused(() => app.update({ work: unchecked('work_aaaa') }));
rows['an address of data'] = refused(() =>
  app.update({ work: unchecked(BigInt(readMaps().find((m) => m.access === 'rw-p').start)) }),
);
rows['null for a key that returns a value'] = refused(() => app.update({ work: null }));
rows['return 0 for a key that returns nothing'] = refused(() => app.update({ hook: 'ret0' }));
rows['unknown protocol'] = refused(() => app.update({ work: 'work_b' }, { protocol: 'int4' }));
rows['a step that no process can perform'] = refused(() =>
  app.update({ work: 'work_b' }, { protocol: { ...naive, steps: [{ do: 'stop', why: 'x' }] } }),
);
rows['a protocol that is none'] = refused(() =>
  app.update({ work: 'work_b' }, { protocol: { ...naive, steps: undefined } }),
);
rows['a protocol by the name of a method'] = refused(() =>
  app.update({ work: 'work_b' }, { protocol: 'toString' }),
);
rows['a protocol that leaves its trap'] = refused(() =>
  app.update({ work: 'work_b' }, { protocol: { ...int3, steps: int3.steps.slice(0, 5) } }),
);
rows['a protocol that never publishes'] = refused(() =>
  app.update({ work: 'work_b' }, { protocol: { ...int3, steps: int3.steps.slice(1) } }),
);
rows['no target at all'] = refused(() => app.update({ work: undefined }));
rows['a number for a target'] = refused(() => app.update({ work: 5 }));
rows['an object for a target'] = refused(() => app.update({ work: {} }));
rows['a number as unchecked'] = refused(() => app.update({ work: unchecked(4096) }));
rows['a word that update does not know'] = refused(() =>
  app.update({ work: 'work_b' }, { require: 'inlin' }),
);
rows['a writer that there is not'] = refused(() => open(other, { writer: 'alais' }));
rows['an assumption that there is not'] = refused(() => open(other, { assume: 'atomic' }));
rows['sites of an unknown key'] = refused(() => app.sites('wrok'));
rows['store through /proc/self/mem'] = refused(() =>
  app.update({ work: 'work_b' }, { protocol: 'store' }),
);
rows['one of three is refused'] = refused(() =>
  app.update({ work: 'work_b', hook: 'hook_two', filter: null }),
);
rows['a breakpoint on a site'] = poke(site, 0xcc, () => app.update({ work: 'work_b' }));
rows['other bytes on a site'] = poke(site + 2, 0x77, () => app.update({ work: 'work_b' }));
rows['and after all of it'] = refused(() =>
  app.update({ work: 'work_b', hook: 'hook_two', filter: 'filter_all' }),
);
const works = {
  other: Number(otherSoaked.work(10)),
  work: Number(soaked.work(10)),
  hook: Number(soaked.hook()),
  filter: soaked.filter(3),
  drift: app.verify().length,
};
app.close();
rows['closed'] = refused(() => app.update({ work: 'work_c' }));
console.log(JSON.stringify({ rows, works }));
