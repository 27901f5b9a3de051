// argv: provider, consumer. The consumer asks for "return 0" by its own copy of the function that
// does it.
import { openNative } from '#machine/linux/native';
import { open } from '#index';

const [provider, consumer] = process.argv.slice(2);
const native = openNative();
const p = native.library(provider);
const c = native.library(consumer);
const [provided, consumed, zero] = [
  p('long provider_level(long)'),
  c('long consumer_level(long)'),
  c('int consumer_zeroes_level()'),
];
const a = open(provider);
const b = open(consumer);
const out = { asked: zero(), level: a.keys.level.target, called: [provided(1), consumed(1)] };
out.bytes = [...a.sites('level'), ...b.sites('level')]
  .filter((s) => s.kind === 'call')
  .map((s) => s.bytes);
a.update({ level: 'level_high' });
out.after = [provided(1), consumed(1)];
a.close();
b.close();
console.log(JSON.stringify(out));
