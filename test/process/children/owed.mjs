// After an update that ended with a refused synchronisation a CPU may hold bytes of before: the
// next update synchronises first. argv: JSON {library}. Prints how many synchronisations the same
// update takes before, right after, and once more.
import { isFault } from '#index';
import { openWith } from '#app/open';
import { openNative } from '#machine/linux/native';
import { intercept } from '../inject.mjs';

const { library } = JSON.parse(process.argv[2]);
const SYNC = 32;
const EIO = -5;
let refused = false;
let syncs = 0;
const native = intercept(openNative(), ({ name, args }) => {
  if (name !== 'membarrier' || args[0] !== SYNC) return undefined;
  syncs++;
  return refused ? EIO : undefined;
});
const app = openWith(native, library, { writer: 'alias' });
const taken = (targets) => {
  syncs = 0;
  app.update(targets);
  return syncs;
};
const there = () => taken({ work: 'work_two' });
const back = () => taken({ work: 'work_one' });

back();
there();
back();
const before = there();
back();
refused = true;
let code = null;
try {
  app.update({ hook: app.keys.hook.target === null ? 'hook_five' : null });
} catch (error) {
  if (!isFault(error)) throw error;
  code = error.code;
}
refused = false;
const after = there();
back();
const again = there();
app.close();
console.log(JSON.stringify({ code, before, after, again }));
