// Boots a kernel with the recorder (poke.c), and turns what it recorded into lines of JSON, as
// `static-call check int3-gap/counted --against LOG` takes them.

import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readImage } from '../../dist/inspect/live/image.js';
import { findKallsyms } from '../../dist/inspect/kallsyms.js';
import { addressesOf } from '../../dist/inspect/symbols.js';
import { hex } from '../../dist/base/addr.js';
import { Guest, roomy } from './guest.mjs';

const MEGABYTES = 256;
const HEADER = 64;
const RECORD = 24;
const MOST = 1 << 22;
const OPS = ['', 'store', 'sync', 'trap', 'resume'];

/** `bp_desc`: the vector, the number of its entries, and who refers to it. */
const WORDS = { vec: 0, count: 8, refs: 12 };
const SYMBOLS = [
  '_stext',
  '_etext',
  'bp_desc',
  'do_sync_core',
  'native_irq_return_iret',
  '__entry_text_start',
  '__entry_text_end',
  'text_poke_bp_batch',
  'on_each_cpu_cond_mask',
  '__static_call_return0',
];
/** Bytes of text_poke_bp_batch in which its synchronisations are. */
const BATCH = 0x2f0;
const NOP = '0f1f440000';

const EVENTS = '/sys/kernel/tracing/events';
const MODE = '/sys/kernel/debug/sched/preempt';
/**
 * Tracepoints on and off, and every mode of preemption, while another process calls what is
 * patched. It sleeps between, because the CPUs take turns, and one that never rests keeps its turn
 * for 100 ms.
 */
export const SWITCHES = [
  'while :; do echo > /dev/null; usleep 100; done & busy=$!',
  `for on in 1 0; do for event in kmem sched; do echo $on > ${EVENTS}/$event/enable; done; done`,
  `echo full > ${MODE}`,
  'kill $busy',
  ...['none', 'voluntary'].map((mode) => `echo ${mode} > ${MODE}`),
];

export class Recorder {
  guest;
  /** Addresses of the kernel's symbols, as it was linked. */
  places;
  /** Where text_poke_bp_batch calls for a synchronisation, in the order of its text. */
  syncs;
  #folder;
  #log;

  /**
   * @param {{ kernel: string, modules?: readonly string[], single?: boolean, patience?: number }}
   * options as of Guest
   */
  static async boot({ kernel, modules = [], single, patience }) {
    const recorder = new Recorder();
    recorder.#folder = mkdtempSync(join(roomy(MEGABYTES), 'static-call-poke-'));
    try {
      const { object } = await readImage(kernel);
      const places = addressesOf(findKallsyms(object), SYMBOLS);
      recorder.places = places;
      recorder.syncs = syncsIn(object, places);
      const plugin = join(recorder.#folder, 'poke.so');
      const source = fileURLToPath(new URL('poke.c', import.meta.url));
      const built = spawnSync('gcc', ['-O2', '-shared', '-fPIC', '-o', plugin, source], {
        encoding: 'utf8',
      });
      if (built.status !== 0) throw new Error(`gcc: ${built.error ?? built.stderr}`);
      const log = join(recorder.#folder, 'log');
      const at = (name) => hex(places.get(name));
      const options = {
        ram: 'RAM',
        size: MEGABYTES * 2 ** 20,
        log,
        text: at('_stext'),
        etext: at('_etext'),
        words: at('bp_desc'),
        sync: at('do_sync_core'),
        iret: at('native_irq_return_iret'),
      };
      const words = Object.entries(options).map(([name, value]) => `${name}=${value}`);
      recorder.guest = await Guest.boot({
        kernel,
        modules,
        single,
        megabytes: MEGABYTES,
        append: 'nokaslr',
        patience,
        plugin: [plugin, ...words].join(','),
      });
      recorder.#log = openSync(log, 'r+');
      return recorder;
    } catch (error) {
      await recorder.close();
      throw error;
    }
  }

  /** Runs a line of shell in the guest and returns the events meanwhile, the header first. */
  async record(line) {
    const word = (value) => Buffer.from(Uint32Array.from([value]).buffer);
    // Off, and no event yet.
    writeSync(this.#log, Buffer.alloc(8), 0, 8, 0);
    writeSync(this.#log, word(1), 0, 4, 0);
    await this.guest.run(line);
    writeSync(this.#log, word(0), 0, 4, 0);
    const head = Buffer.alloc(8);
    readSync(this.#log, head, 0, 8, 0);
    const count = head.readUInt32LE(4);
    if (count > MOST)
      throw new Error(`${count} events, and ${MOST} are kept: record less at a time`);
    const records = Buffer.alloc(count * RECORD);
    for (let done = 0; done < records.length;)
      done += readSync(this.#log, records, done, records.length - done, HEADER + done);
    return [
      this.#header(),
      ...Array.from({ length: count }, (_, i) => this.#event(records, i * RECORD)),
    ];
  }
  /** Takes one synchronisation out of the guest's own text, or puts it back. */
  async withoutSync(index, record) {
    const { at, bytes } = this.syncs[index];
    await this.guest.write(at, NOP);
    try {
      return await record();
    } finally {
      await this.guest.write(at, bytes);
    }
  }
  #header() {
    const table = this.places.get('bp_desc');
    return {
      schema: 'static-call/poke-log@1',
      cpus: [0, 1],
      words: Object.fromEntries(Object.entries(WORDS).map(([name, at]) => [name, hex(table + at)])),
      return0: hex(this.places.get('__static_call_return0')),
    };
  }
  #event(records, from) {
    const at = hex(Number(records.readBigInt64LE(from)));
    const op = OPS[records[from + 18]];
    const cpu = records.readUInt16LE(from + 16);
    const width = records[from + 19];
    if (op === 'store')
      return { cpu, op, at, width, bytes: records.toString('hex', from + 8, from + 8 + width) };
    if (op !== 'resume') return { cpu, op, at };
    // An interrupt that was pending is taken before the first instruction behind the trap.
    const address = Number(records.readBigInt64LE(from));
    const entry = ['__entry_text_start', '__entry_text_end'].map((name) => this.places.get(name));
    return { cpu, op, to: address >= entry[0] && address < entry[1] ? null : at };
  }

  async close() {
    await this.guest?.close();
    if (this.#log !== undefined) closeSync(this.#log);
    if (this.#folder) rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** The calls of on_each_cpu_cond_mask, which text_poke_sync is inlined to. */
function syncsIn(object, places) {
  const start = places.get('text_poke_bp_batch');
  const bytes = Buffer.from(object.at(start, BATCH));
  const target = places.get('on_each_cpu_cond_mask');
  const found = [];
  for (let i = 0; i + 5 <= bytes.length; i++)
    if (bytes[i] === 0xe8 && start + i + 5 + bytes.readInt32LE(i + 1) === target)
      found.push({ at: hex(start + i), bytes: bytes.toString('hex', i, i + 5) });
  return found;
}
