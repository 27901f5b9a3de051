// argv: provider, consumer. The object that only calls a key is opened before the one that defines
// it.
import { openNative } from '#machine/linux/native';
import { open } from '#index';

const [provider, consumer] = process.argv.slice(2);
const native = openNative();
const p = native.library(provider);
const c = native.library(consumer);
const calls = [
  p('long provider_level(long)'),
  c('long consumer_level(long)'),
  p('long provider_sealed(long)'),
  c('long consumer_sealed(long)'),
  p('long provider_queried(long)'),
];
const results = [];
const look = () => results.push(calls.map((call) => call(1)));
const b = open(consumer);
look();
const a = open(provider);
look();
a.update({ level: 'level_high', sealed: 'sealed_on' });
look();
const drift = [a.verify().length, b.verify().length];
b.close();
a.close();
look();
console.log(JSON.stringify({ results, drift }));
