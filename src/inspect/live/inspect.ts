// A source of a kernel's memory to what is said of its static calls. A machine that runs is read
// again where something differs, because what was read first may be old when the rest is read.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { setTimeout as after } from 'node:timers/promises';
import { Fault, inFile } from '../../base/fault.js';
import { findKallsyms } from '../kallsyms.js';
import { addressesOf } from '../symbols.js';
import { readBranches } from './branches.js';
import { FileBytes, type Bytes } from './bytes.js';
import { readCalls } from './calls.js';
import type { Drift, LiveFacts, LiveKey } from './facts.js';
import { Gdb } from './gdb.js';
import { readImage, requireSame, type Image } from './image.js';
import { KCORE } from './kcore.js';
import { LiveKernel } from './kernel.js';
import { Memory, paged } from './memory.js';
import { isDump, readDump } from './open.js';
import { dumpByQmp } from './qmp.js';
import { findVmcoreInfo, VmcoreInfo } from './vmcoreinfo.js';

export interface LiveOptions {
  /** The vmlinuz that was booted. */
  readonly against?: string | undefined;
  /** With every site as a row. */
  readonly listed?: boolean;
}

interface Opened {
  readonly memory: Memory;
  readonly info: VmcoreInfo;
  readonly source: string;
  /** False for a machine that runs. */
  readonly stopped: boolean;
}

/**
 * The static calls of a kernel that runs or has run. Without a source, of the kernel that this
 * program runs on.
 * @throws Fault
 */
export async function inspectLive(
  source: string = KCORE,
  options: LiveOptions = {},
): Promise<LiveFacts> {
  const image = options.against === undefined ? null : await readImage(options.against);
  const [, scheme = '', address = ''] = /^(qmp|gdb):(.+)$/.exec(source) ?? [];
  if (scheme === 'gdb') {
    using gdb = new Gdb(address);
    return await told(byGdb(gdb, image, source), image, options);
  }
  if (scheme === 'qmp') {
    await using dump = await dumpByQmp(address);
    using bytes = new FileBytes(dump.file, false);
    const opened = inFile(source, () => byDump(bytes, source));
    return await told({ ...opened, source: "QEMU's monitor" }, image, options);
  }
  using bytes = new FileBytes(source, source === KCORE);
  const opened = inFile(source, () => byDump(bytes, source));
  return await told(opened, image, options, bytes);
}

/** The same of bytes that are at hand. @throws Fault */
export function inspectDump(bytes: Bytes, path: string, listed: boolean = false): LiveFacts {
  return inFile(path, () => factsOf(byDump(bytes, path), null, listed));
}

/** Whether a file is a dump of memory, by its first bytes; false where it cannot be read. */
export function isDumpFile(path: string): boolean {
  try {
    // Without waiting: opening a fifo waits for a writer.
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const head = new Uint8Array(64);
      return (
        fstatSync(file).isFile() &&
        readSync(file, head, 0, head.length, 0) === head.length &&
        isDump(head)
      );
    } finally {
      closeSync(file);
    }
  } catch {
    return false;
  }
}

function byDump(bytes: Bytes, path: string): Opened {
  const physical = readDump(bytes);
  const info = findVmcoreInfo(physical);
  return {
    memory: new Memory(paged(physical, info)),
    info,
    source: path === KCORE ? KCORE : physical.format,
    stopped: path !== KCORE,
  };
}

/** Randomisation moves the kernel by multiples of this, within this. */
const STEP = 0x20_0000;
const START_KERNEL_MAP = -0x8000_0000;
const LINKED = START_KERNEL_MAP + 0x100_0000;
const MOST_INFO = 1 << 16;

/**
 * A stub knows nothing of the kernel, so its place is felt for: the first mapping is `_text`. The
 * image says where VMCOREINFO lies from there.
 */
function byGdb(gdb: Gdb, image: Image | null, at: string): Opened {
  if (!image)
    throw new Fault('bad-usage', 'a stub does not say where VMCOREINFO is, but the image does', {
      at,
      hint: 'add --against VMLINUZ, the image that was booted',
    });
  const symbols = findKallsyms(image.object);
  const names = ['vmcoreinfo_data', 'vmcoreinfo_size'] as const;
  const places = symbols && addressesOf(symbols, names);
  const [data, size] = names.map((name) => places?.get(name));
  if (data === undefined || size === undefined)
    throw new Fault('bad-image', 'its kallsyms do not name vmcoreinfo_data', { at: image.path });
  let start = START_KERNEL_MAP;
  while (start < 0 && gdb.read(start, 8) === null) start += STEP;
  const slide = start - LINKED;
  const memory = new Memory(gdb.page);
  if (start >= 0 || memory.find(data + slide, 8) === null)
    throw new Fault('no-vmcoreinfo', 'no kernel is mapped where the image says', {
      at,
      hint: 'a CPU that is in a process may not have the kernel mapped: try again, or use qmp:',
    });
  const length = memory.word(size + slide, 'vmcoreinfo_size');
  const text = memory.text(
    memory.word(data + slide, 'vmcoreinfo_data'),
    Math.min(Math.max(length, 0), MOST_INFO),
  );
  const info = new VmcoreInfo(text ?? '');
  if (!info.whole)
    throw new Fault('no-vmcoreinfo', 'what lies at vmcoreinfo_data is no VMCOREINFO', {
      at,
      hint: 'give the image that was booted',
    });
  return { memory, info, source: "gdb's protocol", stopped: true };
}

const TRIES = 20;
const PAUSE_MS = 50;

async function told(
  opened: Opened,
  image: Image | null,
  { listed = false }: LiveOptions,
  bytes?: Bytes,
): Promise<LiveFacts> {
  if (image) requireSame(image, opened.info.release);
  let facts = factsOf(opened, image, listed);
  if (opened.stopped) return facts;
  // On a machine that runs, a difference counts if it stands when all is read again.
  for (let tries = 1; facts.drift.length > 0 && tries < TRIES; tries++) {
    const before = new Set(facts.drift.map(identity));
    await after(PAUSE_MS);
    bytes?.refresh();
    opened.memory.refresh();
    facts = factsOf(opened, image, listed);
    if (facts.drift.every((each) => before.has(identity(each)))) break;
  }
  return facts;
}

const identity = ({ kind, at, bytes, says }: Drift): string => `${kind} ${at} ${bytes} ${says}`;

function factsOf(opened: Opened, image: Image | null, listed: boolean): LiveFacts {
  const { memory, info, source, stopped } = opened;
  const kernel = new LiveKernel(memory, info);
  const calls = readCalls(kernel, { listed });
  const branches = readBranches(kernel);
  return {
    kernel: {
      release: info.release,
      buildId: info.buildId,
      offset: info.slide,
      source,
      stopped,
    },
    ...calls,
    counts: { ...calls.counts, ...branches.counts },
    switches: branches.switches,
    drift: [...calls.drift, ...branches.drift].sort((a, b) => a.at - b.at),
    // One lock serves both, so one of them is under way at most.
    underWay: calls.underWay ?? branches.underWay,
    keys: image ? calls.keys.map((key) => ({ ...key, image: imageOf(image, key) })) : calls.keys,
    modules: kernel.modules.map(({ name, at, sites }) => ({ name, at, sites: sites.count })),
    remarks: kernel.types
      ? []
      : ['the kernel has no BTF, so its modules and the probes of its tracepoints are not read'],
  };
}

/** Undefined for a module's key, and where the image does not say. */
function imageOf({ trampolines }: Image, key: LiveKey): string | null | undefined {
  const built = key.module === null ? trampolines.get(key.name) : undefined;
  return built?.targetKnown ? built.target : undefined;
}

/** Keys whose target is another one than the image gave them. */
export const moved = (keys: readonly LiveKey[]): LiveKey[] =>
  keys.filter(({ image, now }) => image !== undefined && image !== now);
