// Real kernels in a guest, read through each kind of source, beside a small tool that reads the
// same inside the guest.

import { execFile } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addrFromBits, hex, PAGE } from '#base/addr';
import { Held, type Bytes } from '#inspect/live/bytes';
import type { LiveFacts, UnderWay } from '#inspect/live/facts';
import { inspectDump } from '#inspect/live/inspect';
import { Folder } from '../build.js';
import { spawned } from '../cli/line.js';
import { Guest } from '../../examples/kernel/guest.mjs';
import { KERNELS, programOf, read, same, unbooted } from './live/guests.js';

/** Both kernels boot in less; each dump of it is written and read. */
const MEGABYTES = 128;

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

/** In a process of its own, because a worker that is busy for a minute does not answer vitest. */
async function inspected(...args: string[]): Promise<object> {
  const line = ['bin/static-call', 'inspect', '--json', ...args];
  const { stdout } = await promisify(execFile)(process.execPath, line, { maxBuffer: 1 << 28 });
  return same(JSON.parse(stdout));
}

/** What `inspect` says of a dump, the most memory that it had, in MB, and its CPU time. */
async function measured(path: string): Promise<{ facts: object; peak: number; seconds: number }> {
  const ends = `process.on('exit', () => {
    const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
    process.stderr.write(JSON.stringify([maxRSS / 1024, (userCPUTime + systemCPUTime) / 1e6]));
  });`;
  const line = ['--import', `data:text/javascript,${encodeURIComponent(ends)}`, 'bin/static-call'];
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    [...line, 'inspect', '--json', path],
    { maxBuffer: 1 << 28 },
  );
  const [peak, seconds] = JSON.parse(stderr) as [number, number];
  return { facts: same(JSON.parse(stdout)), peak, seconds };
}

describe.skipIf(unbooted !== null).each(KERNELS)(
  `the kernel in corpus/$name${unbooted === null ? '' : ` (skipped: ${unbooted})`}`,
  ({ kernel = '', modules }) => {
    let guest: Guest;
    let began = 0;
    const inner = unbooted === null ? programOf(folder, 'referee') : null;
    /** What is said of a dump, which is removed. */
    const dumped = async (options = {}): Promise<LiveFacts> => {
      const path = await guest.dump(guest.file('dump'), options);
      const facts = read(path);
      rmSync(path);
      return facts;
    };
    let made: Promise<string> | undefined;
    /** A dump as an ELF core without paging, which stays. */
    const elf = (): Promise<string> => (made ??= guest.dump(guest.file('elf')));
    beforeAll(async () => {
      began = performance.now();
      const files = inner ? [{ name: 'bin/referee', mode: 0o100755, bytes: inner }] : [];
      guest = await Guest.boot({ kernel, modules, files, megabytes: MEGABYTES });
    });
    afterAll(() => guest?.close());
    const placeOf = async (symbol: string): Promise<string> =>
      `0x${(await guest.run(`grep ' ${symbol}$' /proc/kallsyms`)).split(' ')[0]}`;

    const states = [
      ['fresh', 'true'],
      [
        'with events on, one of them twice',
        'cd /sys/kernel/tracing; mkdir -p instances/b; echo 1 > events/kmem/kmalloc/enable; ' +
          'echo 1 > instances/b/events/kmem/kmalloc/enable; echo 1 > events/sched/sched_switch/enable; cd /',
      ],
      ['fully preemptible', 'echo full > /sys/kernel/debug/sched/preempt'],
    ] as const;
    test.for(states)(
      '%s: the keys are what the guest says, and nothing drifts',
      async ([state, line]) => {
        await guest.run(line);
        const said = inner ? await guest.run('referee keys') : '';
        const facts = await dumped();
        expect(facts.drift).toEqual([]);
        expect(facts.underWay).toBeNull();
        expect(facts.counts.sites).toBeGreaterThan(4000);
        expect(facts.counts.branches).toBeGreaterThan(4000);
        if (!inner) return;
        const inside = new Map(
          [...said.matchAll(/^key ([0-9a-f]+) ([0-9a-f]+)$/gm)].map(([, at, func]) => [at, func]),
        );
        const digits = (at: number): string => (at === 0 ? '0' : hex(at).slice(2));
        const outside = new Map(facts.keys.map((key) => [digits(key.address), digits(key.func)]));
        expect(inside.size).toBeGreaterThan(600);
        expect([...inside].filter(([at, func]) => outside.get(at!) !== func)).toEqual([]);
        expect(probesMissing(facts, await guest.run(ENABLED))).toEqual([]);
        const seconds = (performance.now() - began) / 1000;
        console.log(`${state}: held against the guest ${seconds.toFixed(0)} s after its start`);
      },
    );

    test('every kind of source says the same', async () => {
      // Stopped, because a kernel turns some of its static keys by itself.
      await guest.qmp('stop');
      const whole = same(read(await elf()));
      expect(same(await dumped({ paging: true }))).toEqual(whole);
      expect(same(await dumped({ format: 'kdump-zlib' }))).toEqual(whole);
      const image = ['--against', kernel];
      const byFile = await inspected(...image, await elf());
      expect(await inspected(...image, '--live', `qmp:${guest.qmpSocket}`)).toEqual(byFile);
      expect(await inspected(...image, '--live', `gdb:${guest.gdbSocket}`)).toEqual(byFile);
      await guest.qmp('cont');
    });

    // The rest of the core is a hole, as it is in a dump of a machine that has not used its memory.
    test.for([
      [256, 300],
      [4096, 500],
    ] as const)('a core of %i MB is read within %i MB, and says the same', async ([size, most]) => {
      const path = guest.file('sparse');
      copyFileSync(await elf(), path);
      widen(path, size * 2 ** 20);
      const { facts, peak, seconds } = await measured(path);
      console.log(`${size} MB: read in ${seconds.toFixed(1)} s and ${peak.toFixed(0)} MB`);
      expect(facts).toEqual(await inspected(await elf()));
      expect(peak).toBeLessThan(most);
      rmSync(path);
    });

    test('the segments and the note of /proc/kcore lead to the same', async () => {
      if (!inner) return;
      const said = await guest.run('referee headers');
      const part = (what: string): Buffer =>
        Buffer.from(new RegExp(`^${what} ([0-9a-f]+)$`, 'm').exec(said)?.[1] ?? '', 'hex');
      const path = await elf();
      const kcore = new Kcore(part('headers'), part('notes'), readFileSync(path));
      const found = inspectDump(kcore, '/proc/kcore');
      expect(found.kernel).toMatchObject({ source: '/proc/kcore', stopped: false });
      expect(same(found)).toEqual(same(read(path)));
    });

    test('a stop in the middle of an update is told, and is no drift', async () => {
      const mode = (name: string): string => `echo ${name} > /sys/kernel/debug/sched/preempt`;
      const sync = await placeOf('do_sync_core');
      const at = guest.file('middle');
      const stopped = async (times: number): Promise<UnderWay | null> => {
        await guest.run(mode('none'));
        await guest.stopAt(sync, times, mode('full'), () => guest.dump(at));
        const { drift, underWay } = read(at);
        expect(drift).toEqual([]);
        return underWay;
      };
      // The first synchronisation is after the trap byte of the trampoline, which is changed first.
      expect(await stopped(1)).toMatchObject({ new: 0, trap: 1 });
      const later = await stopped(31);
      expect(later?.new).toBeGreaterThan(0);
      expect(later?.old).toBeGreaterThan(0);
      const said = spawned(['inspect', at]);
      expect(said.stdout).toMatch(/an update is under way\nthe update of \w+: /);
      expect(said.status).toBe(0);
    });

    test('a change of one site, key or byte gives exactly its rows', async () => {
      const path = await elf();
      const bytes = readFileSync(path);
      const { sites, keys, switches } = inspectDump(new Held(bytes), path, true);
      const place = offsets(bytes);
      const site = sites.find(({ stands, module }) => module === null && /^call \w+$/.test(stands));
      const key = keys.find(
        ({ sites: n, now, module }) => n === 1 && now !== null && module === null,
      );
      const changed = (at: number, value: readonly number[]): string[][] => {
        const there = bytes.subarray(place(at), place(at) + value.length);
        const before = Uint8Array.from(there);
        there.set(value);
        const { drift } = inspectDump(new Held(bytes), path);
        there.set(before);
        return drift.map((d) => [d.kind, d.key ?? '']);
      };
      expect(changed(site!.at, [0xcc])).toEqual([['foreign int3', site!.key]]);
      expect(changed(site!.at + 1, [0x10, 0x20])).toEqual([['site', site!.key]]);
      expect(changed(key!.address, [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]).sort()).toEqual([
        ['outside', key!.name],
        ['site', key!.name],
        ['trampoline', key!.name],
      ]);
      // The static key of a tracepoint that is on.
      const traced = switches.find((each) => each.name.startsWith('__tracepoint_kmalloc+'))!;
      expect(traced.on).toBe(true);
      const rows = Array.from({ length: traced.branches }, () => ['branch', traced.name]);
      expect(changed(traced.address, [0, 0, 0, 0])).toEqual(rows);
      bytes.writeUInt8(0xcc, place(site!.at));
      const copy = guest.file('changed');
      writeFileSync(copy, bytes);
      const said = spawned(['inspect', copy]);
      expect(said.stdout).toContain('foreign int3');
      expect(said.status).toBe(1);
    });

    test.skipIf(modules.length < 2)('a module taken off the list is missed', async () => {
      const path = await elf();
      const bytes = readFileSync(path);
      const { modules: listed } = inspectDump(new Held(bytes), path);
      const [first, second] = listed;
      const head = offsets(bytes)(addrFromBits(BigInt(await placeOf('modules'))));
      // The list goes through a field of each module.
      const link = bytes.readBigInt64LE(head) - BigInt(first!.at);
      bytes.writeBigInt64LE(BigInt(second!.at) + link, head);
      const { drift } = inspectDump(new Held(bytes), path);
      expect(drift.length).toBeGreaterThan(0);
      for (const { kind, place } of drift)
        expect([kind, place]).toEqual(['unlisted module', `struct module ${first!.name}`]);
    });
  },
);

/** Events that are on, by tracefs. */
const ENABLED =
  'cd /sys/kernel/tracing; grep -l 1 events/*/*/enable instances/*/events/*/*/enable || true; cd /';

/** Events that are on by tracefs, and whose key leads to no probe. */
function probesMissing({ keys }: LiveFacts, enabled: string): string[] {
  const probed = new Map(keys.map((key) => [key.name, key.probes.length]));
  return [...enabled.matchAll(/\/(\w+)\/enable$/gm)]
    .map(([, event = '']) => event)
    .filter((event) => probed.get(`tp_func_${event}`) === 0);
}

interface Segment {
  readonly offset: number;
  readonly start: number;
  readonly size: number;
}

/** Where an ELF file has its parts of a type, by physical address. */
function segmentsIn(headers: Buffer, type: number): Segment[] {
  const first = Number(headers.readBigUInt64LE(32));
  return Array.from({ length: headers.readUInt16LE(56) }, (_, i) => first + 56 * i)
    .filter((at) => headers.readUInt32LE(at) === type)
    .map((at) => ({
      offset: Number(headers.readBigUInt64LE(at + 8)),
      start: Number(headers.readBigUInt64LE(at + 24)),
      size: Number(headers.readBigUInt64LE(at + 32)),
    }));
}
/** The last segment of a core without paging goes on, as a hole, to the end of a larger file. */
function widen(path: string, size: number): void {
  const core = openSync(path, 'r+');
  const headers = Buffer.alloc(PAGE);
  readSync(core, headers, 0, PAGE, 0);
  const first = Number(headers.readBigUInt64LE(32));
  const offset = (at: number): bigint => headers.readBigUInt64LE(at + 8);
  const loads = Array.from({ length: headers.readUInt16LE(56) }, (_, i) => first + 56 * i).filter(
    (at) => headers.readUInt32LE(at) === 1,
  );
  const last = loads.reduce((a, b) => (offset(b) > offset(a) ? b : a));
  for (const field of [32, 40]) headers.writeBigUInt64LE(BigInt(size) - offset(last), last + field);
  writeSync(core, headers, 0, PAGE, 0);
  ftruncateSync(core, size);
  closeSync(core);
}

const offsetIn = (segments: readonly Segment[], physical: number): number | null => {
  const found = segments.find(({ start, size }) => physical >= start && physical < start + size);
  return found ? found.offset + (physical - found.start) : null;
};

/** File offset in a core without paging of an address of the kernel's image. */
function offsets(core: Buffer): (at: number) => number {
  // The name stands in the kernel's format string too.
  const [, base] = /NUMBER\(phys_base\)=(-?\d+)/.exec(core.toString('latin1'))!;
  const segments = segmentsIn(core, 1);
  return (at) => offsetIn(segments, at + 0x8000_0000 + Number(base))!;
}

/** /proc/kcore with the headers that the guest showed, and its memory out of an ELF core. */
class Kcore implements Bytes {
  readonly size = Number.MAX_SAFE_INTEGER;
  readonly #headers: Buffer;
  readonly #notes: Buffer;
  readonly #core: Buffer;
  readonly #loads: readonly Segment[];
  readonly #notesAt: number;
  readonly #inCore: readonly Segment[];

  constructor(headers: Buffer, notes: Buffer, core: Buffer) {
    this.#headers = headers;
    this.#notes = notes;
    this.#core = core;
    this.#loads = segmentsIn(headers, 1);
    this.#notesAt = segmentsIn(headers, 4)[0]!.offset;
    this.#inCore = segmentsIn(core, 1);
  }
  refresh(): void {}
  read(offset: number, length: number): Uint8Array | null {
    const within = (bytes: Buffer, at: number | null): Uint8Array | null =>
      at !== null && at >= 0 && at + length <= bytes.length
        ? bytes.subarray(at, at + length)
        : null;
    const load = this.#loads.find((l) => offset >= l.offset && offset < l.offset + l.size);
    return (
      within(this.#headers, offset) ??
      within(this.#notes, offset - this.#notesAt) ??
      (load
        ? within(this.#core, offsetIn(this.#inCore, load.start + (offset - load.offset)))
        : null)
    );
  }
}
