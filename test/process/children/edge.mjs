// programs/edge.s, retargeted. argv: JSON {library, options}. Prints what the sites do, and the
// bytes around them.
import { open, unchecked } from '#index';
import { readMaps } from '#machine/linux/maps';
import { koffi } from './soaked.mjs';

const { library, options } = JSON.parse(process.argv[2]);
const lib = koffi.load(library);
const [first, last] = ['long first(long)', 'long last(long)'].map((f) => lib.func(f));
const look = () => [Number(first(10)), Number(last(10))];
const app = open(library, options);
const sites = app.sites('edge').filter((s) => s.kind !== 'trampoline');
const maps = readMaps();
const at = sites.map(({ address }) => Number(address));
const readable = (address) =>
  maps.some((m) => m.start <= address && address < m.end && m.access[0] === 'r');
const before = look();
app.update({ edge: unchecked('two') });
const after = [...look(), app.verify().length];
app.close();
console.log(
  JSON.stringify({
    offsets: at.map((a) => a % 4096),
    alone: !readable(at[0] - 1) && !readable(at[1] + 5),
    inline: sites.filter((s) => s.inline).length,
    before,
    after,
    closed: look(),
  }),
);
