// programs/soak.c as the children use it: its functions, and what its counters say by name.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

export const koffi = createRequire(import.meta.url)('koffi');

/** Same order as in soak.c. */
const OUTCOMES = [
  'work_a',
  'work_b',
  'work_c',
  'work_ret0',
  'hook_null',
  'hook_one',
  'hook_two',
  'filter_ret0',
  'filter_odd',
  'filter_all',
  'gate_off',
  'gate_on',
  'wrong',
];

export function openSoaked(path) {
  const library = koffi.load(path);
  const start = library.func('int soak_start(int)');
  const stop = library.func('void soak_stop()');
  const passes = library.func('uint64_t soak_passes()');
  const outcomes = library.func('void soak_outcomes(void *)');
  return {
    library,
    start,
    stop,
    passes: () => Number(passes()),
    many: library.func('long soak_many(long)'),
    work: library.func('long soak_work(long)'),
    hook: library.func('long soak_hook()'),
    filter: library.func('int soak_filter(int)'),
    outcomes() {
      const sums = new BigUint64Array(OUTCOMES.length);
      outcomes(sums);
      return Object.fromEntries(OUTCOMES.map((name, i) => [name, Number(sums[i])]));
    },
  };
}

const TARGETS = {
  work: ['work_a', 'work_b', 'work_c', 'ret0'],
  hook: ['hook_one', 'hook_two', null],
  filter: ['filter_odd', 'filter_all', 'ret0'],
};

/** A branch may cross a quadword, where `store` refuses it. */
const GATE = { gate: [true, false] };
export const targetsFor = (protocol) => (protocol === 'store' ? TARGETS : { ...TARGETS, ...GATE });

/** A stream of updates of one key to all of them at a time, from a seed. */
export function updates(seed, targets) {
  let state = seed >>> 0 || 1;
  const below = (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  return () => {
    const wanted = {};
    const keys = Object.entries(targets);
    const mask = 1 + below(2 ** keys.length - 1);
    keys.forEach(([key, wants], i) => {
      if (mask & (1 << i)) wanted[key] = wants[below(wants.length)];
    });
    return wanted;
  };
}

/** Executable bytes of a loaded file that differ from the file's own. */
export function differsFromFile(native, readMaps, path) {
  const file = readFileSync(path);
  let different = 0;
  const maps = readMaps();
  const anchor = maps.find((m) => m.path === path && m.offset === 0);
  const object = readSegments(file);
  for (const s of object) {
    const memory = new Uint8Array(native.view(anchor.start + s.address, s.size));
    for (let i = 0; i < s.size; i++) if (memory[i] !== file[s.offset + i]) different++;
  }
  return different;
}

/** Executable PT_LOAD segments. */
function readSegments(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const [at, size, count] = [
    Number(view.getBigUint64(32, true)),
    view.getUint16(54, true),
    view.getUint16(56, true),
  ];
  return Array.from({ length: count }, (_, i) => at + i * size)
    .filter((p) => view.getUint32(p, true) === 1 && view.getUint32(p + 4, true) & 1)
    .map((p) => ({
      offset: Number(view.getBigUint64(p + 8, true)),
      address: Number(view.getBigUint64(p + 16, true)),
      size: Number(view.getBigUint64(p + 32, true)),
    }));
}
