// What the public surface promises beside the patching itself: names, taking back, the journal, and
// what is left of a program that was closed. argv: the library of test/types.
import { open, unchecked } from '#index';
import { openNative } from '#machine/linux/native';
import { code } from './code.mjs';

const library = process.argv[2];
const pixel = openNative().library(library)('int pixel(int, int)');
const out = {};

const app = open(library);
const targets = () => [app.keys.blend.target, app.keys.trace.target, pixel(10, 30)];
out.keys = Object.values(app.keys).map(({ name, target, targets, sites }) => ({
  name,
  target,
  targets,
  sites,
}));
out.every = Object.values(app.keys).flatMap(({ name, targets }) =>
  targets.map((target) => (app.update({ [name]: target }), app.keys[name].target === target)),
);
app.update({ blend: 'blend_scalar', trace: null });

const older = app.update({ blend: 'blend_avx2', trace: 'trace_ring' });
const newer = app.update({ blend: 'ret0' });
out.before = targets();
older.undo();
out.olderFirst = targets();
newer.undo();
out.newerThen = targets();
newer.undo();
older.undo();
out.twice = targets();
app.update({ blend: 'blend_scalar' });
const same = app.update({ blend: 'blend_scalar' });
out.unchanged = [same.changes, same.inline, same.traps];
out.undoneNothing = (same.undo(), targets());

const other = open(library);
const mine = app.update({ blend: 'blend_avx2' });
other.update({ blend: 'ret0' });
mine.undo();
out.anotherProgramsUpdateStands = targets();
other.close();
out.stillOpenForTheFirst = targets();

app.update({ blend: unchecked('blend_avx2') });
out.uncheckedByName = targets();
const at = app.sites('blend').find(({ kind }) => kind === 'trampoline').address;
app.update({ trace: unchecked('my_ring') });
out.uncheckedUndeclared = targets();
out.uncheckedAddressRefused = code(() => app.update({ trace: unchecked(at + (1n << 48n)) }));
out.sites = [
  app.sites().length,
  app.sites('blend').map(({ kind, inline }) => `${kind} ${inline}`),
  app.sites('blend').every(({ address }) => typeof address === 'bigint'),
];
out.verify = app.verify();

const made = app.journal.length;
for (let i = 0; i < 2500; i++) app.update({ blend: i % 2 ? 'blend_avx2' : 'blend_scalar' });
out.journal = [made, app.journal.length, app.journal.at(-1).changes[0].to];

const late = app.update({ blend: 'ret0' });
app.close();
app.close();
out.closed = targets();
out.afterwards = {
  update: code(() => app.update({ blend: 'blend_avx2' })),
  undo: code(() => late.undo()),
  verify: app.verify().length,
  sites: app.sites().filter(({ inline }) => inline).length,
  journal: app.journal.length,
};
const again = open(library);
again.update({ blend: 'ret0' });
late.undo();
out.reopened = [again.keys.blend.target, pixel(10, 30)];
again.close();
console.log(JSON.stringify(out));
