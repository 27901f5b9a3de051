// argv: provider, consumer. Keys of one object, called and updated from another.
import { openNative } from '#machine/linux/native';
import { open } from '#index';

const [provider, consumer] = process.argv.slice(2);
const native = openNative();
const results = [];
const p = native.library(provider);
const c = native.library(consumer);
const f = {
  pl: p('long provider_level(long)'),
  ps: p('long provider_sealed(long)'),
  cl: c('long consumer_level(long)'),
  cs: c('long consumer_sealed(long)'),
};
const look = (what) => results.push([what, f.pl(1), f.cl(1), f.ps(1), f.cs(1)]);
look('as linked');
const a = open(provider);
look('provider open');
a.update({ level: 'level_high', sealed: 'sealed_on' });
look('updated while the consumer is not open: its calls go through the trampolines');
const b = open(consumer);
look('consumer open: its sites join the keys');
const inline = b.sites().filter((s) => s.inline).length;
a.update({ level: 'level_low' });
look('updated by the provider');
b.update({ level: 'level_mine' });
look('updated by the consumer, to a target of its own');
let refused = '';
try {
  b.update({ sealed: 'sealed_off' });
} catch (error) {
  refused = error.code;
}
const drift = [a.verify().length, b.verify().length];
a.close();
look('provider closed: the consumer still has both keys open');
b.close();
look('both closed');
console.log(
  JSON.stringify({
    results,
    inline,
    drift,
    refused,
    keys: Object.fromEntries(Object.entries(b.keys).map(([n, k]) => [n, k.sites])),
  }),
);
