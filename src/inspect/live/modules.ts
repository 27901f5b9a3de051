// The modules that are loaded: the kernel's list of them, each with its text, its sites and its
// symbols. The list is memory like any other: it may have a loop, or lead out of the dump.

import { hex, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import type { Btf, Field } from './btf.js';
import type { Memory } from './memory.js';
import { ModuleSymbols } from './names.js';

export interface Span {
  readonly start: Addr;
  readonly end: Addr;
}

interface Table {
  readonly at: Addr;
  readonly count: number;
}

export interface Module {
  readonly name: string;
  /** Of its `struct module`. */
  readonly at: Addr;
  /** What runs after it was loaded. */
  readonly text: Span;
  /** All that it occupies, its text among it. */
  readonly spans: readonly Span[];
  /** Its table of sites, and how many they are. */
  readonly sites: Table;
  /** Its table of branches on static keys. */
  readonly branches: Table;
  readonly symbols: ModuleSymbols;
}

const MOST_MODULES = 4096;
/** Of all modules: a kernel with everything loaded has 40,000. */
export const MOST_SITES: number = 1 << 18;
const MOST_SYMBOLS = 1 << 19;
const MOST_BYTES = 1 << 30;
const NAME_MAX = 64;
/** `enum module_state`: its fields are not filled in yet. */
const UNFORMED = 3;

const damaged = (at: Addr, what: string): Fault =>
  new Fault('bad-kernel', `the list of modules is damaged: ${what}`, { at: hex(at) });

/** @throws Fault `bad-kernel`, `page-missing`. */
export function modulesFrom(memory: Memory, types: Btf, head: Addr): Module[] {
  const link = types.offset('module', 'list');
  const modules: Module[] = [];
  const seen = new Set<Addr>([head]);
  let left = MOST_SYMBOLS;
  let sites = 0;
  for (
    let next = memory.word(head, 'the list of modules');
    next !== head;
    next = memory.word(next, 'the list of modules')
  ) {
    if (seen.has(next)) throw damaged(next, 'it leads back into itself');
    if (seen.size > MOST_MODULES) throw damaged(next, `it has more than ${MOST_MODULES} modules`);
    seen.add(next);
    const at = next - link;
    if (memory.u32(at + types.offset('module', 'state'), 'a module') === UNFORMED) continue;
    const module = moduleAt(memory, types, at, left);
    left -= module.symbols.count;
    sites += Math.max(module.sites.count, module.branches.count);
    if (sites > MOST_SITES) throw damaged(at, `its modules state ${sites} sites`);
    modules.push(module);
  }
  return modules;
}

export const nameOfModule = (memory: Memory, types: Btf, at: Addr): string =>
  memory.text(at + types.offset('module', 'name'), NAME_MAX) ?? hex(at);

function moduleAt(memory: Memory, types: Btf, at: Addr, mostSymbols: number): Module {
  const name = nameOfModule(memory, types, at);
  const table = (field: string, number: string): Table => ({
    at: memory.word(at + types.offset('module', field), `module ${name}`),
    count: memory.u32(at + types.offset('module', number), `module ${name}`),
  });
  const none = { at: 0, count: 0 };
  const spans = spansOf(memory, types, at, name);
  const [text = { start: 0, end: 0 }] = spans;
  return {
    name,
    at,
    text,
    spans,
    sites: table('static_call_sites', 'num_static_call_sites'),
    // A kernel may be without jump labels.
    branches: types.field('module', 'jump_entries')
      ? table('jump_entries', 'num_jump_entries')
      : none,
    symbols: symbolsOf(memory, types, at, name, mostSymbols),
  };
}

/** One area until 6.3, then one for each kind of memory; text is first in both. */
function spansOf(memory: Memory, types: Btf, at: Addr, name: string): Span[] {
  const span = (base: number, size: number): Span => {
    const start = memory.word(at + base, `module ${name}`);
    const length = memory.u32(at + size, `module ${name}`);
    if (length > MOST_BYTES) throw damaged(at, `module ${name} states ${length} bytes`);
    return { start, end: start + length };
  };
  const within = (field: Field, part: string): number => {
    const found = types.within(field, part);
    if (found) return found.offset;
    throw damaged(at, `its type lacks ${part}`);
  };
  const whole = types.field('module', 'core_layout');
  if (whole) {
    const base = within(whole, 'base');
    return [span(base, within(whole, 'text_size')), span(base, within(whole, 'size'))];
  }
  const kinds = types.field('module', 'mem');
  if (!kinds) throw damaged(at, 'struct module says nothing of its memory');
  const step = types.size('module_memory');
  // Text, data, read-only data, read-only after init; the rest is freed after init.
  return [0, 1, 2, 3].map((kind) =>
    span(within(kinds, 'base') + kind * step, within(kinds, 'size') + kind * step),
  );
}

function symbolsOf(
  memory: Memory,
  types: Btf,
  at: Addr,
  name: string,
  most: number,
): ModuleSymbols {
  const kallsyms = memory.word(at + types.offset('module', 'kallsyms'), `module ${name}`);
  if (kallsyms === 0) return new ModuleSymbols(memory, 0, 0, 0);
  const field = (part: string): Addr => kallsyms + types.offset('mod_kallsyms', part);
  const count = memory.u32(field('num_symtab'), `module ${name}`);
  if (count > most) throw damaged(at, `module ${name} states ${count} symbols`);
  return new ModuleSymbols(
    memory,
    memory.word(field('symtab'), `module ${name}`),
    count,
    memory.word(field('strtab'), `module ${name}`),
  );
}
