// argv: libraries. Each is opened, retargeted to each kind of target, and put back; one answer a
// library.
import { openNative } from '#machine/linux/native';
import { open } from '#index';

const native = openNative();
const out = process.argv.slice(2).map((path) => {
  const app = open(path);
  const f = native.library(path);
  const [use, tail, first] = [f('int use(int)'), f('int tail(int)'), f('int first()')];
  const said = { first: first(), linked: [use(1), tail(1)] };
  const update = app.update({ work: 'two', trace: 'count', filter: 'two' });
  said.updated = [use(1), tail(1)];
  said.sites = [update.inline, update.trampoline];
  said.drift = app.verify().length;
  app.update({ work: 'picked', trace: null, filter: 'ret0' });
  said.ifunc = [use(1), tail(1), app.keys.work.target];
  app.update({ work: 'toascii' });
  said.elsewhere = [tail(0x1f0), app.keys.work.target];
  app.close();
  said.closed = [use(1), tail(1)];
  return said;
});
console.log(JSON.stringify(out));
