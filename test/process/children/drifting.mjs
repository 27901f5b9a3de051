// Changes a byte of one site while an update is on its way, for every site of a batch in turn: what
// somebody may do who does not know of us. No thread passes the sites meanwhile, for what they hold
// is no program. argv: JSON {library, protocol, sync}: the change comes right before that
// synchronisation.
import { readSync, openSync, writeSync } from 'node:fs';
import { openWith } from '#app/open';
import { openNative } from '#machine/linux/native';
import { Runtime } from '#machine/process/runtime';
import { knownAlias } from '#machine/process/alias';
import { store } from '#plan/protocols/store';
import { int3 } from '#plan/protocols/int3';
import { intercept } from '../inject.mjs';
import { faultOf } from './fault.mjs';
import { bitsOf, openGrid } from './gridded.mjs';

const { library, protocol, sync } = JSON.parse(process.argv[2]);
// The first synchronisation is there for the change to have a place before the stores.
const steps = {
  store: {
    ...store,
    steps: [store.steps[0], { do: 'sync', why: 'a place for the change' }, ...store.steps.slice(1)],
  },
  int3,
};
const grid = openGrid(library);
const plain = openNative();
let [change, syncs, left] = [null, 0, -1];
const native = intercept(plain, ({ name }) => {
  if (name !== 'membarrier') return;
  syncs++;
  if (left >= 0 && left-- === 0) change();
});
const app = openWith(native, library, { writer: 'alias', protocol });
const update = (targets) => app.update(targets, { protocol: steps[protocol] });
const [FROM, TO] = [
  { work: 'ret0', hook: null },
  { work: 'work_one', hook: 'hook_five' },
];
const bytes = () => new Map(app.sites().map((s) => [Number(s.address), s.bytes]));
update(TO);
const to = bytes();
update(FROM);
const from = bytes();

const runtime = new Runtime(plain);
const memory = openSync('/proc/self/mem', 'r+');
const aliasOf = (at) => knownAlias(runtime, at, at + 1);
const put = (at, byte) => writeSync(memory, Buffer.of(byte), 0, 1, aliasOf(at));
const get = (at) => {
  const byte = Buffer.alloc(1);
  readSync(memory, byte, 0, 1, at);
  return byte[0];
};
const refusal = (body) =>
  faultOf(body, ({ code, message, at, cause }) => ({
    code,
    at: at ?? null,
    step: Number(/^step (\d+)/.exec(message)?.[1] ?? 0),
    cause: cause?.code ?? null,
    causeAt: cause?.at ?? null,
  }));

const problems = [];
const seen = { noticed: 0, written: 0, left: 0 };
const targets = () => ({ work: app.keys.work.target, hook: app.keys.hook.target });
const sites = [...from]
  .filter(([at, was]) => was !== to.get(at))
  .map(([at]) => at)
  .sort((a, b) => a - b);
for (const at of sites) {
  const what = [];
  // The last byte of five: part of every displacement, and of every form that has none.
  const place = at + 4;
  let was = null;
  change = () => put(place, (was = get(place)) ^ 0x55);
  [syncs, left] = [0, sync];
  const refused = refusal(() => update(TO));
  const hex = `0x${at.toString(16)}`;
  const foreign = was !== null && get(place) === (was ^ 0x55);
  const drifts = app.verify();
  if (was === null) what.push('nothing was changed');
  if (refused) {
    // Sites before it were switched, and back: no CPU may go on with what it fetched in between.
    if (syncs !== (at === sites[0] ? 1 : 2)) what.push(`${syncs} synchronisations`);
    seen.noticed++;
    if (
      refused.code !== 'update-failed' ||
      refused.cause !== 'drift' ||
      refused.causeAt !== hex ||
      refused.step !== 3
    )
      what.push(refused);
    if (JSON.stringify(targets()) !== JSON.stringify(FROM)) what.push('the keys went on');
    if (!foreign) what.push('the byte was written over');
  } else if (JSON.stringify(targets()) !== JSON.stringify(TO)) what.push('the keys stayed');
  const side = refused ? from : to;
  for (const [other, now] of bytes())
    if (other !== at && now !== side.get(other)) what.push(`${other.toString(16)} holds ${now}`);
  if (foreign) {
    // It is told, and nothing is written over it later.
    if (drifts.length !== 1 || drifts[0].kind !== 'foreign' || drifts[0].address !== BigInt(at))
      what.push(['drifts', drifts.map((d) => [d.kind, d.address.toString(16)])]);
    const again = refusal(() => update(refused ? TO : FROM));
    if (again?.code !== 'drift' || again.at !== hex) what.push(['again', again]);
    put(place, get(place) ^ 0x55);
    if (!refused) seen.left++;
  } else if (drifts.length > 0) what.push('told of what was written over');
  else seen.written++;
  update(TO);
  if (grid.now() !== bitsOf(TO) || app.verify().length > 0) what.push('not mended');
  update(FROM);
  if (grid.now() !== bitsOf(FROM) || app.verify().length > 0) what.push('not put back');
  if (what.length > 0) problems.push({ at: hex, what });
}
app.close();
console.log(
  JSON.stringify({
    sites: sites.length,
    ...seen,
    problems: problems.slice(0, 3),
    failed: problems.length,
  }),
);
