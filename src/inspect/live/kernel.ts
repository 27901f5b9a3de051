// A kernel as its memory shows it: symbols, types, modules, and what lies where.

import { hex, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { KEY_PREFIX, TRAMPOLINE_PREFIX } from '../../sites/site.js';
import { functionAt, lastAt, nameAt, type Symbols } from '../symbols.js';
import { withOffset } from '../static-keys.js';
import { Btf } from './btf.js';
import type { Memory } from './memory.js';
import { modulesFrom, type Module, type Span } from './modules.js';
import { kallsymsOf } from './names.js';
import type { VmcoreInfo } from './vmcoreinfo.js';

const TRACEPOINT = '__tracepoint_';
const BPF_DISPATCHER = 'bpf_dispatcher_';
const PREFIXES = [KEY_PREFIX, TRAMPOLINE_PREFIX, TRACEPOINT, BPF_DISPATCHER] as const;
/** Where what is asked for lies, by the names of the linker script and of a few variables. */
const PLACES = [
  '_stext',
  '_etext',
  '_end',
  '__init_begin',
  '__init_end',
  '__start_static_call_sites',
  '__stop_static_call_sites',
  '__static_call_return0',
  '__static_call_return',
  '__start___jump_table',
  '__stop___jump_table',
  '__start_BTF',
  '__stop_BTF',
  'modules',
  'text_mutex',
  'static_call_mutex',
  'jump_label_mutex',
] as const;
type Place = (typeof PLACES)[number];

const STRUCTS: ReadonlySet<string> = new Set([
  'module',
  'module_memory',
  'mod_kallsyms',
  'static_call_key',
  'static_call_mod',
  'tracepoint',
  'tracepoint_func',
  'mutex',
  'bpf_dispatcher',
]);
const MOST_BTF = 1 << 28;
/** No structure that holds a static key is larger. */
const LARGEST = 0x1000;

/** A name, and the module that it belongs to; null for the kernel itself. */
export interface Named {
  readonly name: string;
  readonly module: string | null;
}

export class LiveKernel {
  readonly memory: Memory;
  readonly info: VmcoreInfo;
  readonly symbols: Symbols;
  /** Null where the kernel was built without BTF: then its modules are not read. */
  readonly types: Btf | null;
  readonly modules: readonly Module[];
  readonly text: Span;
  readonly image: Span;
  /** Freed after boot. */
  readonly init: Span;
  /** The kernel's own symbols of these names and prefixes. */
  readonly known: ReadonlyMap<string, Addr>;
  readonly #described = new Map<Addr, string>();
  #ofModules: readonly (Named & { readonly at: Addr })[] | undefined;

  /** @throws Fault `bad-kernel`, `page-missing`. */
  constructor(memory: Memory, info: VmcoreInfo) {
    this.memory = memory;
    this.info = info;
    this.symbols = kallsymsOf(memory, info);
    this.known = indexed(this.symbols);
    this.text = { start: this.place('_stext'), end: this.place('_etext') };
    this.image = { start: this.text.start, end: this.place('_end') };
    this.init = { start: this.place('__init_begin'), end: this.place('__init_end') };
    this.types = this.#types();
    this.modules = this.types ? modulesFrom(memory, this.types, this.place('modules')) : [];
  }

  #types(): Btf | null {
    const [start, stop] = [this.find('__start_BTF'), this.find('__stop_BTF')];
    if (start === undefined || stop === undefined) return null;
    const length = stop - start;
    if (length < 0 || length > MOST_BTF)
      throw new Fault('bad-kernel', `its BTF states ${length} bytes`, { at: hex(start) });
    return new Btf(this.memory.read(start, length, "the kernel's BTF"), STRUCTS);
  }

  /** Of the kernel itself; undefined where it has no such symbol. */
  find(name: Place | `${(typeof PREFIXES)[number]}${string}`): Addr | undefined {
    return this.known.get(name);
  }
  /** @throws Fault `bad-kernel`. */
  place(name: Place): Addr {
    const at = this.find(name);
    if (at !== undefined) return at;
    throw new Fault('bad-kernel', `the kernel has no symbol ${name}`, { at: 'kallsyms' });
  }
  /** Every symbol of the kernel and its modules that begins so, without the prefix. */
  *starting(prefix: (typeof PREFIXES)[number]): Generator<Named & { readonly at: Addr }> {
    for (const [name, at] of this.known)
      if (name.startsWith(prefix)) yield { name: name.slice(prefix.length), module: null, at };
    this.#ofModules ??= this.modules.flatMap(({ name: module, symbols }) =>
      [...indexed(symbols)].map(([name, at]) => ({ name, module, at })),
    );
    for (const { name, module, at } of this.#ofModules)
      if (name.startsWith(prefix)) yield { name: name.slice(prefix.length), module, at };
  }

  moduleOf(at: Addr): Module | undefined {
    return this.modules.find(({ spans }) => spans.some((span) => inside(span, at)));
  }
  /** Whether code that may run now lies there. */
  runs(at: Addr): boolean {
    return inside(this.text, at) || this.modules.some(({ text }) => inside(text, at));
  }
  /** Whether it lay in what was freed after boot. */
  freed(at: Addr): boolean {
    return inside(this.init, at);
  }
  /** Whether the kernel or a module has its data there. */
  holds(at: Addr): boolean {
    return inside(this.image, at) || this.moduleOf(at) !== undefined;
  }
  /** `function+0x12 [module]`, as the kernel prints it; the address where no function is known. */
  describe(at: Addr): string {
    const known = this.#described.get(at);
    if (known !== undefined) return known;
    const text = this.#describe(at);
    this.#described.set(at, text);
    return text;
  }
  #describe(at: Addr): string {
    const module = this.moduleOf(at);
    const symbols = module?.symbols ?? this.symbols;
    const exact = nameAt(symbols, at);
    const around = module || inside(this.image, at) ? functionAt(symbols, at) : null;
    const suffix = module ? ` [${module.name}]` : '';
    if (exact !== null) return exact + suffix;
    return around ? `${around.name}+0x${(at - around.start).toString(16)}${suffix}` : hex(at);
  }

  /** The variable at an address, with the offset in it; null where none is known. */
  dataAt(at: Addr): string | null {
    const symbols = this.moduleOf(at)?.symbols ?? this.symbols;
    const last = lastAt(symbols, at);
    const start = last < 0 ? NaN : symbols.address(last);
    const name = at - start < LARGEST && !symbols.code(last) ? nameAt(symbols, start) : null;
    return name === null ? null : withOffset(name, at - start);
  }

  /** Whether text is being changed, by the mutexes that an update of its kind holds. */
  locked(mutexes: readonly Place[]): boolean {
    const { types } = this;
    if (!types) return false;
    // A real-time kernel has its mutex in another one.
    const inner = types.field('mutex', 'rtmutex');
    const owner = types.field('mutex', 'owner') ?? (inner && types.within(inner, 'owner'));
    if (!owner) return false;
    return mutexes.some((name) => {
      const at = this.find(name);
      // Three low bits are flags.
      return at !== undefined && Math.abs(this.memory.word(at + owner.offset, name)) >= 8;
    });
  }
}

function indexed(symbols: Symbols): Map<string, Addr> {
  const wanted = new Set<string>(PLACES);
  const known = new Map<string, Addr>();
  for (let i = 0; i < symbols.count; i++) {
    const name = symbols.name(i);
    if (!wanted.has(name) && !PREFIXES.some((prefix) => name.startsWith(prefix))) continue;
    if (!known.has(name)) known.set(name, symbols.address(i));
  }
  return known;
}

const inside = ({ start, end }: Span, at: Addr): boolean => at >= start && at < end;
