// The keys of a kernel in memory, and what hangs on them: the modules with sites of a key, the
// probes behind a tracepoint's iterator, the code of a BPF dispatcher.

import { hex, PAGE, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { KEY_PREFIX, TRAMPOLINE_PREFIX } from '../../sites/site.js';
import type { LiveKernel } from './kernel.js';

const MOST_PROBES = 4096;
const MOST_CHAIN = 4096;
const TRACED = 'tp_func_';

export interface Key {
  readonly name: string;
  readonly module: string | null;
  readonly at: Addr;
  /** 0 where the key is empty. */
  readonly func: Addr;
  readonly trampoline: Addr | null;
}

/** By their addresses. A key that no symbol names is added when a site leads to it (`keyAt`). */
export function keysOf(kernel: LiveKernel): Map<Addr, Key> {
  const of = (module: string | null, name: string): string => `${module ?? ''} ${name}`;
  const trampolines = new Map<string, Addr>();
  for (const { name, module, at } of kernel.starting(TRAMPOLINE_PREFIX))
    trampolines.set(of(module, name), at);
  const keys = new Map<Addr, Key>();
  for (const { name, module, at } of kernel.starting(KEY_PREFIX)) {
    const func = kernel.memory.word(at, `key ${name}`);
    const trampoline = trampolines.get(of(module, name)) ?? null;
    if (!keys.has(at)) keys.set(at, { name, module, at, func, trampoline });
  }
  return keys;
}

/** Null where there can be no key: it would lie in the kernel's data or in a module's, aligned. */
export function keyAt(kernel: LiveKernel, keys: Map<Addr, Key>, at: Addr): Key | null {
  const known = keys.get(at);
  if (known) return known;
  if (at % 8 !== 0 || !kernel.holds(at)) return null;
  const module = kernel.moduleOf(at)?.name ?? null;
  const name = `key_${hex(at).slice(2)}`;
  const func = kernel.memory.word(at, `key ${name}`);
  const key = { name, module, at, func, trampoline: null };
  keys.set(at, key);
  return key;
}

/** Addresses of the modules that have sites of the key, as the key lists them. */
export function modulesOf({ types, memory }: LiveKernel, { at, name }: Key): Addr[] {
  if (!types?.has('static_call_mod')) return [];
  const what = `key ${name}`;
  const first = memory.word(at + types.offset('static_call_key', 'mods'), what);
  // With the low bit set it points to the kernel's own sites, and is no list.
  if (first === 0 || Math.abs(first % 2) === 1) return [];
  const modules: Addr[] = [];
  const seen = new Set<Addr>();
  for (
    let link = first;
    link !== 0;
    link = memory.word(link + types.offset('static_call_mod', 'next'), what)
  ) {
    if (seen.has(link) || seen.size > MOST_CHAIN)
      throw new Fault('bad-kernel', `the list of modules of ${what} leads back into itself`, {
        at: hex(link),
      });
    seen.add(link);
    const module = memory.word(link + types.offset('static_call_mod', 'mod'), what);
    if (module !== 0) modules.push(module);
  }
  return modules;
}

/** What the iterator of a tracepoint calls, in order. */
export function probesOf(kernel: LiveKernel, { name }: Key): string[] {
  const { types, memory } = kernel;
  const tracepoint = name.startsWith(TRACED)
    ? kernel.find(`__tracepoint_${name.slice(TRACED.length)}`)
    : undefined;
  if (tracepoint === undefined || !types?.has('tracepoint_func')) return [];
  const what = `the probes of ${name}`;
  const funcs = memory.word(tracepoint + types.offset('tracepoint', 'funcs'), what);
  const probes: string[] = [];
  for (let at = funcs; at !== 0; at += types.size('tracepoint_func')) {
    const func = memory.word(at, what);
    if (func === 0) break;
    if (probes.length >= MOST_PROBES)
      throw new Fault('bad-kernel', `${what} have no end`, { at: hex(at) });
    probes.push(kernel.describe(func));
  }
  return probes;
}

/** The code that BPF makes for a dispatcher lies in a page of its own, outside all text. */
export function dispatches({ types, memory, known }: LiveKernel, { name, func }: Key): boolean {
  const dispatcher = /^(bpf_dispatcher_.+)_call$/.exec(name)?.[1];
  const at = dispatcher === undefined ? undefined : known.get(dispatcher);
  if (at === undefined || !types?.has('bpf_dispatcher')) return false;
  const image = memory.word(at + types.offset('bpf_dispatcher', 'image'), name);
  return image !== 0 && func >= image && func < image + PAGE;
}
