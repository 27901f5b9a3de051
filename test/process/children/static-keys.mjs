// Static keys: switched by update, from C, across objects. argv: the library, the owner of an
// exported key, a module that tests it, and the ways of writing.
import { open } from '#index';
import { openNative } from '#machine/linux/native';
import { code } from './code.mjs';

const [library, owner, module, ways] = process.argv.slice(2);
const native = openNative();
const c = native.library(library);
const [step, seen] = [c('int step(int)'), c('int seen()')];
const [enable, disable, inc, dec, users, flagged] = [
  'enable',
  'disable',
  'inc',
  'dec',
  'users',
  'flagged',
].map((name) => c(`int ${name}()`));

const out = { unopened: [seen(), enable(), users()], ways: [] };
for (const { protocol, writer, assume } of JSON.parse(ways)) {
  const app = open(library, { protocol, writer, ...(assume && { assume }), serveUpdates: false });
  const got = {};
  const states = () => [app.keys.tracing.target, app.keys.fast.target, seen(), app.verify().length];
  got.opened = states();
  const update = code(() => app.update({ tracing: true, work: 'two' }));
  got.update = [update.inline, update.trampoline, update.changes];
  got.on = [...states(), step(3), users(), flagged()];
  got.fast = [code(() => app.update({ fast: false }).changes.length), ...states(), step(3)];
  got.same = code(() => app.update({ fast: false }).changes.length);
  got.kinds = app
    .sites('tracing')
    .map(({ kind, inline, bytes }) => [kind, inline, bytes.slice(0, 2)]);
  update.undo();
  got.undone = [...states(), step(3)];
  app.close();
  got.closed = [seen(), users(), step(3)];
  out.ways.push(got);
}

{
  const app = open(library);
  out.wrong = [
    code(() => app.update({ tracing: 'on' })),
    code(() => app.update({ tracing: null })),
    code(() => app.update({ work: true })),
  ];
  out.c = [
    [enable(), enable(), users(), seen(), app.keys.tracing.target],
    [disable(), disable(), users(), seen(), app.keys.tracing.target],
    [inc(), inc(), users(), seen(), disable()],
    [dec(), users(), seen()],
    [dec(), users(), seen(), dec()],
  ];
  out.byC = app.journal.map(({ by, changes: [{ key, from, to }] }) => [by, key, from, to]);
  app.update({ tracing: true });
  out.mixed = [
    inc(),
    users(),
    code(() => app.update({ tracing: false }).changes.length),
    users(),
    dec(),
  ];
  app.close();
}

{
  // The module is opened first: it knows the key only by the address of another object's.
  native.load(owner);
  const using = open(module);
  const [inOwner, inModule] = [
    native.library(owner)('int in_owner()'),
    native.library(module)('int in_module()'),
  ];
  const first = [using.update({ shared: true }).inline, inOwner(), inModule()];
  const owning = open(owner);
  const second = [owning.keys.shared.target, inOwner(), inModule()];
  const both = [
    owning.update({ shared: false }).inline,
    using.keys.shared.target,
    inOwner(),
    inModule(),
  ];
  out.modules = [first, second, both];
  using.close();
  owning.close();
}
console.log(JSON.stringify(out));
