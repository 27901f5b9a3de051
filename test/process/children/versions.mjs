// argv: provider, consumer. Targets and keys behind a version script, by every name that they have.
import { isFault, open, unchecked } from '#index';
import { openNative } from '#machine/linux/native';

const [provider, consumer] = process.argv.slice(2);
const native = openNative();
const p = native.library(provider);
const c = native.library(consumer);
const [provided, consumed, inner] = [
  p('long provider_level(long)'),
  c('long consumer_level(long)'),
  p('int provider_inner()'),
];
const look = () => [Number(provided(0)), Number(consumed(0)) - 1000];
const a = open(provider);
const b = open(consumer);
const out = {
  targets: [a.keys.level.targets, a.keys.inner.targets, b.keys.level.targets],
  before: look(),
};
const tried = (app, key, target) => {
  try {
    app.update({ [key]: target });
    return [...look(), app.keys[key].target];
  } catch (error) {
    if (!isFault(error)) throw error;
    return error.code;
  }
};
out.hidden = tried(a, 'level', 'secret');
out.withdrawn = tried(a, 'level', 'withdrawn');
out.byItsOwnName = tried(a, 'level', 'chosen_old');
out.newest = tried(a, 'level', unchecked('chosen'));
out.bound = tried(b, 'level', 'chosen');
out.nobody = tried(a, 'level', unchecked('chosen@V3'));
out.old = tried(a, 'level', unchecked('chosen@V1'));
out.byVersion = tried(a, 'level', unchecked('chosen@V2'));
a.update({ inner: 'inner_two' });
out.inner = inner();
out.drift = [a.verify().length, b.verify().length];
b.close();
a.close();
out.after = [...look(), inner()];
console.log(JSON.stringify(out));
