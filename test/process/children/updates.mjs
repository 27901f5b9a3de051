// argv: library, writer, optional 'no-fork-handlers' or 'join' (to end after the first look).
// Updates from C while this thread sits in a native call, and forks under a storm of updates.
import { openNative } from '#machine/linux/native';
import { openWith } from '#app/open';

const [path, writer, mutant] = process.argv.slice(2);
const native = openNative();
const f = native.library(path);
const step = f('long updates_step(long)');
const tell = f('long updates_tell()');
const unserved = f('int updates_to_two()')();
const app = openWith(mutant === 'no-fork-handlers' ? { ...native, atFork() {} } : native, path, {
  writer,
});
const out = {
  unserved,
  joined: f('long updates_join(long)')(200),
  afterJoin: [app.keys.step.target, app.keys.tell.target],
};
if (mutant === 'join') {
  console.log(JSON.stringify(out));
  process.exit(0);
}
out.ret0 = [f('int updates_to_return0()')(), app.keys.step.target, step(5)];
out.two = [f('int updates_to_two()')(), app.keys.step.target, step(5)];
// What C did stands in the journal, and is taken back like any other update.
const [last] = app.journal.filter((u) => u.by === 'c').slice(-1);
out.told = last.changes;
last.undo();
out.undone = [app.keys.step.target, step(5), app.journal.at(-1).by];
f('int updates_to_two()')();
out.nothing = [f('int updates_tell_nothing()')(), app.keys.tell.target, tell()];
f('int updates_fork_start(long, long)')(6, 100);
const end = performance.now() + 700;
let updates = 0;
while (performance.now() < end) app.update({ step: updates++ % 2 === 0 ? 'step_one' : 'step_two' });
out.badForks = f('long updates_fork_wait()')();
out.updates = updates;
out.verify = app.verify().length;
app.close();
out.closed = [f('int updates_to_two()')(), step(5)];
console.log(JSON.stringify(out));
