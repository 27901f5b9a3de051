// Real kernels in a guest, read through each kind of source, beside a small tool that reads the
// same inside the guest.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addrFromBits, hex } from '#base/addr';
import { FileBytes, Held, type Bytes } from '#inspect/live/bytes';
import type { LiveFacts, UnderWay } from '#inspect/live/facts';
import { inspectDump, inspectLive } from '#inspect/live/inspect';
import { Folder } from '../build.js';
import { spawned } from '../cli/line.js';
import { Guest, missing, modulesIn, MODULES } from '../../examples/kernel/guest.mjs';

const corpus = process.env['STATIC_CALL_CORPUS'] ?? 'corpus';
const filesIn = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((file) => file.isFile())
        .map((file) => join(file.parentPath, file.name))
    : [];
const KERNELS = ['kernel', 'newer'].map((name) => {
  const files = filesIn(join(corpus, name));
  return {
    name,
    kernel: files.find((path) => /\/vmlinuz-[^/]*$/.test(path)),
    modules: modulesIn(files, MODULES) as string[],
  };
});
/** Beside other tests on two CPUs an emulated guest did not answer the gdb stub within 20 s. */
const asked = process.env['STATIC_CALL_GUESTS'] !== undefined;
const [reason = null] = [
  asked ? null : 'wants the machine for itself: STATIC_CALL_GUESTS=1 asks for it',
  missing(),
  KERNELS.some(({ kernel }) => kernel === undefined) ? 'scripts/corpus has not been run' : null,
].filter((each) => each !== null);

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

/** Null where it cannot be built. */
function referee(): Uint8Array | null {
  const out = folder.file('referee');
  const done = spawnSync('gcc', ['-O2', '-static', '-o', out, 'test/inspect/live/referee.c']);
  return done.status === 0 ? readFileSync(out) : null;
}

/** Without what names the source. */
const same = ({ kernel, ...facts }: LiveFacts): object => ({
  ...facts,
  kernel: { ...kernel, source: '', stopped: true },
});

describe.skipIf(reason !== null).each(KERNELS)(
  `the kernel in corpus/$name${reason === null ? '' : ` (skipped: ${reason})`}`,
  ({ name, kernel = '', modules }) => {
    let guest: Guest;
    const tool = reason === null ? referee() : null;
    const dumped = async (file: string, options = {}): Promise<LiveFacts> => {
      const path = await guest.dump(folder.file(`${name}-${file}`), options);
      using bytes = new FileBytes(path, false);
      return inspectDump(bytes, path);
    };
    beforeAll(async () => {
      const files = tool ? [{ name: 'bin/referee', mode: 0o100755, bytes: tool }] : [];
      guest = await Guest.boot({ kernel, modules, files });
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
    test.each(states)(
      '%s: the keys are what the guest says, and nothing drifts',
      async (_, line) => {
        await guest.run(line);
        const said = tool ? await guest.run('referee') : '';
        const facts = await dumped('state');
        expect(facts.drift).toEqual([]);
        expect(facts.underWay).toBeNull();
        expect(facts.counts.sites).toBeGreaterThan(4000);
        expect(facts.counts.branches).toBeGreaterThan(4000);
        if (!tool) return;
        const inside = new Map(
          [...said.matchAll(/^key (\S+) ([0-9a-f]+) ([0-9a-f]+)$/gm)].map(([, , at, func]) => [
            at,
            func,
          ]),
        );
        const digits = (at: number): string => (at === 0 ? '0' : hex(at).slice(2));
        const outside = new Map(facts.keys.map((key) => [digits(key.address), digits(key.func)]));
        expect(inside.size).toBeGreaterThan(600);
        expect([...inside].filter(([at, func]) => outside.get(at!) !== func)).toEqual([]);
        expect(probesMissing(facts, await guest.run(ENABLED))).toEqual([]);
      },
    );

    test('every kind of source says the same', async () => {
      const whole = same(await dumped('elf'));
      expect(same(await dumped('paged', { paging: true }))).toEqual(whole);
      expect(same(await dumped('kdump', { format: 'kdump-zlib' }))).toEqual(whole);
      expect(same(await inspectLive(`qmp:${guest.qmpSocket}`))).toEqual(whole);
      const against = { against: kernel };
      const byGdb = await inspectLive(`gdb:${guest.gdbSocket}`, against);
      const image = await inspectLive(folder.file(`${name}-elf`), against);
      expect(same(byGdb)).toEqual(same(image));
    });

    test('the segments and the note of /proc/kcore lead to the same', async () => {
      if (!tool) return;
      const said = await guest.run('referee');
      const part = (what: string): Buffer =>
        Buffer.from(new RegExp(`^${what} ([0-9a-f]+)$`, 'm').exec(said)?.[1] ?? '', 'hex');
      const kcore = new Kcore(part('headers'), part('notes'), guest.ram);
      const found = inspectDump(kcore, '/proc/kcore');
      const { kernel: by, ...facts } = found;
      expect(by).toMatchObject({ source: '/proc/kcore', stopped: false });
      expect(facts.drift).toEqual([]);
      expect(facts.keys).toEqual((await dumped('elf')).keys);
    });

    test('a stop in the middle of an update is told, and is no drift', async () => {
      const mode = (name: string): string => `echo ${name} > /sys/kernel/debug/sched/preempt`;
      const sync = await placeOf('do_sync_core');
      const at = folder.file(`${name}-middle`);
      const stopped = async (times: number): Promise<UnderWay | null> => {
        await guest.run(mode('none'));
        await guest.stopAt(sync, times, mode('full'), () => guest.dump(at));
        using bytes = new FileBytes(at, false);
        const { drift, underWay } = inspectDump(bytes, at);
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
      const path = folder.file(`${name}-elf`);
      const bytes = readFileSync(path);
      const { sites, keys, switches } = inspectDump(new Held(bytes), path, true);
      const place = offsets(bytes);
      const site = sites.find(({ stands, module }) => module === null && /^call \w+$/.test(stands));
      const key = keys.find(
        ({ sites: n, now, module }) => n === 1 && now !== null && module === null,
      );
      const changed = (at: number, value: readonly number[]): string[][] => {
        const copy = Buffer.from(bytes);
        copy.set(value, place(at));
        return inspectDump(new Held(copy), path).drift.map((d) => [d.kind, d.key ?? '']);
      };
      expect(changed(site!.at, [])).toEqual([]);
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
      writeFileSync(path, bytes);
      const said = spawned(['inspect', path]);
      expect(said.stdout).toContain('foreign int3');
      expect(said.status).toBe(1);
    });

    test.skipIf(modules.length < 2)('a module taken off the list is missed', async () => {
      const path = await guest.dump(folder.file(`${name}-elf`));
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

/** File offset in a core without paging of an address of the kernel's image. */
function offsets(core: Buffer): (at: number) => number {
  // The name stands in the kernel's format string too.
  const [, base] = /NUMBER\(phys_base\)=(-?\d+)/.exec(core.toString('latin1'))!;
  // QEMU puts the section headers first.
  const first = Number(core.readBigUInt64LE(32));
  const segments = Array.from({ length: core.readUInt16LE(56) }, (_, i) => first + 56 * i)
    .filter((at) => core.readUInt32LE(at) === 1)
    .map((at) => [8, 24, 32].map((field) => Number(core.readBigUInt64LE(at + field))));
  return (at) => {
    const physical = at + 0x8000_0000 + Number(base);
    const [offset, start] = segments.find(
      ([, from, size]) => physical >= from! && physical < from! + size!,
    )!;
    return offset! + (physical - start!);
  };
}

/** /proc/kcore with the headers that the guest showed, and its memory out of the file behind it. */
class Kcore implements Bytes {
  readonly size = Number.MAX_SAFE_INTEGER;
  readonly #headers: Buffer;
  readonly #notes: Buffer;
  readonly #ram: Buffer;
  readonly #loads: readonly { offset: number; physical: number; size: number }[];
  readonly #notesAt: number;

  constructor(headers: Buffer, notes: Buffer, ram: string) {
    this.#headers = headers;
    this.#notes = notes;
    this.#ram = readFileSync(ram);
    const entries = Array.from({ length: headers.readUInt16LE(56) }, (_, i) => {
      const at = 64 + 56 * i;
      const field = (from: number): number => Number(headers.readBigUInt64LE(at + from));
      return {
        type: headers.readUInt32LE(at),
        offset: field(8),
        physical: field(24),
        size: field(32),
      };
    });
    this.#loads = entries.filter(({ type }) => type === 1);
    this.#notesAt = entries.find(({ type }) => type === 4)!.offset;
  }
  refresh(): void {}
  read(offset: number, length: number): Uint8Array | null {
    if (offset + length <= this.#headers.length)
      return this.#headers.subarray(offset, offset + length);
    if (offset >= this.#notesAt && offset + length <= this.#notesAt + this.#notes.length)
      return this.#notes.subarray(offset - this.#notesAt, offset - this.#notesAt + length);
    const load = this.#loads.find((l) => offset >= l.offset && offset < l.offset + l.size);
    const at = load ? load.physical + (offset - load.offset) : this.#ram.length;
    return at + length <= this.#ram.length ? this.#ram.subarray(at, at + length) : null;
  }
}
