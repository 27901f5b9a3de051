// Surveys made-up columns over made-up text with the machine code and with plan/draw.ts, stores
// them by machine code and with plain loops, and prints where the two differ. argv: number of
// rounds, seed.
import { Runtime } from '#machine/process/runtime';
import { openNative, PROT, MAP } from '#machine/linux/native';
import { Script } from '#machine/process/script';
import { Room, SiteRow } from '#machine/process/site-row';
import { Forms, rowsOf } from '#machine/process/survey';
import { Windows } from '#machine/process/windows';
import { draw, SiteColumns } from '#plan/draw';
import { WAY } from '#plan/ways';

const [rounds, seed] = [Number(process.argv[2]), Number(process.argv[3])];
let state = seed >>> 0 || 1;
const random = (below) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
};
const native = openNative();
const { survey, routines } = new Runtime(native);
/** A survey of these sites alone, with the interface of `draw`. */
const surveyed = (columns, destination, rule, require, ways = 0) => {
  const sites = { at: native.addressOf(columns.batch.at), columns, rows: rowsOf(columns) };
  const forms = destination && new Forms(native, destination);
  const row = new SiteRow(new Windows(native), sites, 0);
  survey.begin(rule);
  survey.add(row, forms, require === 'inline', ways);
  survey.perform(() => 'key');
  const batch = survey.batch(0);
  const trampoline = survey.onTrampoline(0);
  // What is copied together with other small groups is the same.
  if (row.isSmall) {
    const room = new Room(columns.batch.count);
    row.copyInto(room);
    for (const column of ['at', 'length', 'old', 'new', 'way'])
      if (`${part(room.batch, column)}` !== `${part(batch, column)}`) differences.push({ column });
    if (room.batch.ways !== batch.ways) differences.push({ ways: room.batch.ways });
    seen.copied++;
  }
  return { batch, inline: row.sites - trampoline, trampoline };
};
const part = (batch, column) =>
  batch[column].subarray(0, (batch[column].length / batch.at.length) * batch.count);
const script = new Script(native, routines);
/** The edit at which a store loop stopped, or -1. */
const store = (how, batch, from, to, away, source = 'new', ways = 0) => {
  script.clear();
  script.store(how, batch, from, to, away, source, ways);
  return script.perform()?.what.edit ?? -1;
};
const SIZE = 1 << 13;
const start = native.call(
  'mmap',
  0,
  SIZE,
  PROT.read | PROT.write,
  MAP.private | MAP.anonymous,
  -1,
  0,
);
const text = new Uint8Array(native.view(start, SIZE));

const RULES = [
  { bytes: 'whole', within: null },
  { bytes: 'changed', within: 'line' },
  { bytes: 'changed', within: 'fetch32' },
  { bytes: 'changed', within: 'fetch16' },
  { bytes: 'changed', within: 'qword' },
];
const destination = () => {
  const near = () => start + SIZE + random(1 << 24);
  const target = near();
  return {
    kind: ['function', 'null', 'ret0'][random(3)],
    target,
    way: target,
    return0: near(),
    return: near(),
  };
};
const outcome = (body) => {
  try {
    const { batch, inline, trampoline } = body();
    return {
      ways: batch.ways,
      way: [...batch.way.subarray(0, batch.count)],
      inline,
      trampoline,
      count: batch.count,
      at: [...batch.at.subarray(0, batch.count)],
      new: [...batch.new.subarray(0, 8 * batch.count)],
    };
  } catch (error) {
    return { code: error.code, at: error.at };
  }
};

const differences = [];
const seen = {
  drawn: 0,
  runs: 0,
  copied: 0,
  refused: {},
  ways: {},
  trampoline: 0,
  unchanged: 0,
  stored: 0,
  exchanged: 0,
  drifted: 0,
};
for (let n = 0; n < rounds; n++) {
  // Some groups are large, which are not copied.
  const count = 1 + random(random(8) === 0 ? 60 : 20);
  const tramp = random(count + 1) - 1;
  const make = () => new SiteColumns(count, tramp);
  const [a, b] = [make(), make()];
  const first = destination();
  // Sites with gaps of 0 to 20 bytes, so that many cross lines; what the file has is a draw of
  // another target. In many groups most sites are like the one before, which are a run.
  const changes = [1, 9, 30][random(3)];
  let [kind, length, condition, alike] = [0, 0, 0, 0];
  for (let i = 0, at = start + random(64); i < count; i++) {
    const others = [kind, length, condition].join();
    // Each by itself, so that a run also ends by the kind alone.
    if (i === 0 || random(changes) === 0) kind = random(3);
    if (i === 0 || random(changes) === 0) length = 5 + random(2);
    if (i === 0 || random(changes) === 0) condition = random(16);
    if (kind === 2) length = 6;
    else condition = 0;
    alike = others === [kind, length, condition].join() ? alike + 1 : 0;
    seen.runs += alike === 8 ? 1 : 0;
    for (const c of [a, b]) {
      c.batch.at[i] = at;
      c.batch.length[i] = length;
      c.kind[i] = kind;
      c.condition[i] = condition;
    }
    at += length + random(20);
  }
  for (const c of [a, b]) {
    draw(c, first, RULES[0]);
    c.original.set(c.batch.new);
  }
  // What stands there now: the file's own, or another target here and there.
  const second = destination();
  draw(b, second, RULES[0]);
  for (let i = 0; i < count; i++) {
    const from = random(3) === 0 ? b.original : b.batch.new;
    for (const c of [a, b]) {
      c.batch.old.fill(0, 8 * i, 8 * i + 8);
      c.batch.old.set(from.subarray(8 * i, 8 * i + b.batch.length[i]), 8 * i);
    }
  }
  for (const c of [a, b]) c.batch.new.fill(0);
  for (let i = 0; i < SIZE; i++) text[i] = i * 7;
  for (let i = 0; i < count; i++)
    text.set(a.batch.old.subarray(8 * i, 8 * i + a.batch.length[i]), a.batch.at[i] - start);

  const third = random(8) === 0 ? null : random(4) === 0 ? second : destination();
  const rule = RULES[random(3)];
  const require = random(4) === 0 ? 'inline' : undefined;
  // Which ways a site may go: none is said, or any set of them.
  const ways = rule.within !== null || random(3) === 0 ? 0 : random(16) | WAY.trap;
  const [machine, plain] = [
    outcome(() => surveyed(a, third, rule, require, ways)),
    outcome(() => draw(b, third, rule, require, ways)),
  ];
  if (JSON.stringify(machine) !== JSON.stringify(plain)) differences.push({ n, machine, plain });
  if (plain.code) {
    seen.refused[plain.code] = (seen.refused[plain.code] ?? 0) + 1;
    continue;
  }
  seen.drawn++;
  seen.trampoline += plain.trampoline;
  seen.unchanged += count - plain.count;
  for (const way of plain.way) seen.ways[way] = (seen.ways[way] ?? 0) + 1;

  // A byte that somebody changed is noticed, at that site.
  const victim = random(count);
  const spot = a.batch.at[victim] - start + random(a.batch.length[victim]);
  text[spot] ^= 0x40;
  const drift = outcome(() => surveyed(a, third, rule, require));
  if (!['drift', 'foreign-trap'].includes(drift.code) || Number(drift.at) !== a.batch.at[victim])
    differences.push({ n, drift, victim: a.batch.at[victim] });
  text[spot] ^= 0x40;
  surveyed(a, third, rule, require, ways);

  // Every store loop, on a copy of the text that lies elsewhere, against loops of one line each.
  const how = ['trap', 'first', 'rest', 'whole', 'opcode', 'displacement'][random(6)];
  const source = random(2) === 0 ? 'old' : 'new';
  const only = ways === 0 ? 0 : 1 + random(15);
  const copy = new Uint8Array(SIZE);
  copy.set(text);
  const expected = copy.slice();
  const batch = a.batch;
  const [from, to] = [random(count), count];
  for (let i = from; i < to; i++) {
    const at = batch.at[i] - start;
    // A batch of one way is not asked site by site.
    if ((batch.ways & ~only) !== 0 && only !== 0 && (batch.way[i] & only) === 0) continue;
    const tail = batch.length[i] - 4;
    const [first, end] = {
      trap: [0, 1],
      first: [0, 1],
      rest: [1, tail + 4],
      whole: [0, tail + 4],
      opcode: [tail - 1, tail],
      displacement: [tail, tail + 4],
    }[how];
    for (let k = first; k < end; k++)
      expected[at + k] = how === 'trap' ? 0xcc : batch[source][8 * i + k];
  }
  const stopped = store(how, batch, from, to, native.addressOf(copy) - start, source, only);
  if (stopped !== -1 || Buffer.compare(copy, expected) !== 0) differences.push({ n, how, stopped });
  seen.stored++;

  if (ways !== 0) {
    // The one byte that changes, at the sites where it is one.
    const once = text.slice();
    for (let i = 0; i < count; i++)
      if (batch.way[i] === WAY.byte)
        once.set(batch.new.subarray(8 * i, 8 * i + batch.length[i]), batch.at[i] - start);
    const away = new Uint8Array(SIZE);
    away.set(text);
    const done = store('byte', batch, 0, count, native.addressOf(away) - start, 'new', WAY.byte);
    const alone = (batch.ways & ~WAY.byte) === 0;
    if (done !== -1 || (!alone && Buffer.compare(away, once) !== 0))
      differences.push({ n, byte: done });
  }

  if (rule.within === 'line') {
    // One exchange for each site: the new bytes, and nothing but them; a neighbour that changed
    // stops a wide one.
    const wide = text.slice();
    for (let i = 0; i < count; i++)
      wide.set(batch.new.subarray(8 * i, 8 * i + batch.length[i]), batch.at[i] - start);
    const fresh = new Uint8Array(SIZE + 64);
    const shift = (64 - (native.addressOf(fresh) % 64)) % 64; // lines as in the text
    const target = fresh.subarray(shift, shift + SIZE);
    target.set(text);
    const done = store('exchange', batch, 0, count, native.addressOf(target) - start);
    if (done !== -1 || Buffer.compare(target, wide) !== 0) differences.push({ n, exchange: done });
    seen.exchanged++;
    const changesOuter = (i) =>
      [0, 5].some((k) => k < batch.length[i] && batch.old[8 * i + k] !== batch.new[8 * i + k]);
    const drifting = Array.from({ length: count }, (_, i) => i).find(changesOuter);
    if (drifting !== undefined) {
      target.set(text);
      target[batch.at[drifting] - start] ^= 0x40;
      const stop = store('exchange', batch, drifting, count, native.addressOf(target) - start);
      if (stop !== drifting) differences.push({ n, drifting, stop });
      seen.drifted++;
    }
  }
}
console.log(JSON.stringify({ differences: differences.slice(0, 5), seen }));
