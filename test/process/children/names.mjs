// Opens an object whose keys have the names of what every object inherits, or are not ASCII, and
// retargets each. argv: the library.
import { isFault, open, unchecked } from '#index';
import { openNative } from '#machine/linux/native';

const app = open(process.argv[2]);
const call = openNative().library(process.argv[2])('int pick(int)');
const code = (ask) => {
  try {
    ask();
    return 'done';
  } catch (error) {
    if (!isFault(error)) throw error;
    return error.code;
  }
};
const out = {
  keys: Object.keys(app.keys),
  inherited: typeof app.keys['hasOwnProperty'],
  calls: [],
};
for (const [i, name] of out.keys.entries()) {
  const before = call(i);
  app.update({ [name]: 'neu' });
  out.calls.push([before, call(i), app.keys[name].target, app.journal.at(-1).changes[0].key]);
}
out.literal = code(() => app.update({ __proto__: 'alt' }));
out.wrong = [5, null, undefined, 'neu'].map((targets) => code(() => app.update(targets)));
out.nul = code(() => app.update({ ['größe']: unchecked('malloc\0x') }));
app.close();
console.log(JSON.stringify(out));
