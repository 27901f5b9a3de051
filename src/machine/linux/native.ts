// The only door to the operating system and to koffi. Everything that a process machine does to the
// process goes through this interface, so that a test can hand in one that refuses the k-th effect.

import { createRequire } from 'node:module';
import { getSystemErrorName } from 'node:util';
import type koffiModule from 'koffi';
import type { Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { SYS } from '../../base/linux.js';

/** System calls by name. */
export type Call = keyof typeof SYS;

export { MAP, PROT, SYS } from '../../base/linux.js';

export interface Native {
  /** The result, or the negated error number. Arguments are addresses or integers. */
  call(name: Call, ...args: readonly number[]): number;
  /**
   * What machine code makes its system calls through: the address of a function of C's (number, and
   * up to four arguments) that returns as the kernel does. null: the instruction itself.
   */
  readonly system: Addr | null;
  /** A copy of some bytes; cheaper than a view of what is read once. */
  read(at: Addr, length: number): Uint8Array;
  /** The memory itself, not a copy. */
  view(at: Addr, length: number): ArrayBuffer;
  /** Address of a buffer of ours; the caller keeps it alive. */
  addressOf(buffer: ArrayBufferView): Addr;
  /** A handle of the dynamic linker; null is the program itself. @throws Fault `not-loaded` */
  load(path: string | null): Addr;
  /** The `struct link_map` of a handle: load bias at 0, name at 8, dynamic section at 16. */
  linkMap(handle: Addr): Addr;
  /**
   * 0 where the object and its dependencies do not define it: its default version, or the one that
   * is named.
   */
  symbol(handle: Addr, name: string, version?: string): Addr;
  /** Returns what was installed; with null it only asks. */
  sigaction(signal: number, action: SignalAction | null): SignalAction;
  /** Has libc call these around every fork(), for the life of the process. */
  atFork(prepare: Addr, parent: Addr, child: Addr): void;
  /** A pthread key: a thread that has a value for it calls the destructor with it as it ends. */
  createThreadKey(destructor: Addr): number;
  /** The calling thread's value for a key. */
  setThreadValue(key: number, value: Addr): void;
  /** The functions of a library, by their C declarations: `int f(str, double)`. */
  library(path: string): (declaration: string) => NativeFunction;
  /** Calls machine code with up to three integers; returns what it left in rax. */
  invoke(at: Addr, a?: number, b?: number, c?: number): number;
  /** The same for code that is called often, with one integer: a fifth of the cost. */
  procedure(at: Addr): (a: number) => number;
  /**
   * Machine code that calls a function of ours with up to five integers, on the thread that runs
   * this.
   */
  callback(body: (...args: number[]) => number): Addr;
}

/** What it takes and returns is in its C declaration, which the compiler does not see. */
export type NativeFunction = (...args: any[]) => any;

export interface SignalAction {
  readonly handler: Addr;
  readonly flags: number;
}

/**
 * The same effects with every system call in the caller's hands, those that machine code makes too:
 * to count, delay or refuse them.
 */
export function intercepted(native: Native, call: Native['call']): Native {
  const names = Object.fromEntries(
    Object.entries(SYS).map(([name, number]) => [number, name]),
  ) as Record<number, Call>;
  return {
    ...native,
    call,
    system: native.callback((number, ...args) => call(names[number!]!, ...args)),
  };
}

/** struct sigaction of glibc on x86-64: handler, 128 bytes of mask, flags, restorer. */
const SIGACTION = { size: 152, handler: 0, flags: 136 } as const;
const RTLD_NOW = 2;
const RTLD_DI_LINKMAP = 2;

/** `ENOMEM` for -12. */
export const errorName: (negated: number) => string = getSystemErrorName;

/** Views that are kept; a program asks for a few dozen again and again. */
const VIEWS = 4096;

/**
 * koffi aborts the process where it throws while its environment is terminated
 * (https://github.com/Koromix/koffi/issues/190), and it throws from whatever makes an object:
 * definitions and views, but no call. So all definitions are made at once at first use, one set for
 * an environment, and a view is made once. What is left is a worker that is terminated while it
 * comes here for the first time.
 */
let opened: Native | null = null;

/** @throws Fault `not-supported` where there is no such process to patch. */
export function openNative(): Native {
  return (opened ??= bind());
}

function loadKoffi(require: NodeJS.Require): typeof koffiModule {
  try {
    return require('koffi') as typeof koffiModule;
  } catch (cause) {
    throw new Fault('not-supported', 'koffi, which makes system calls, cannot be loaded', {
      cause,
      hint: process.execArgv.includes('--no-addons')
        ? 'start node without --no-addons'
        : 'install the package again, on a system that its addon was built for',
    });
  }
}

function bind(): Native {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Fault('not-supported', `this is ${process.platform} on ${process.arch}`);
  }
  // At first use, never at import: loading it costs 12 ms and dlopens its addon.
  const require = createRequire(import.meta.url);
  const koffi = loadKoffi(require);
  const libc = koffi.load('libc.so.6');
  const syscall = libc.func('long syscall(long, int64, int64, int64, int64, int64, int64)') as (
    ...args: number[]
  ) => number;
  // Every argument that is converted costs: a synchronisation has three of them.
  const short = libc.func('long syscall(int, int64, int64, int64)') as (
    ...args: number[]
  ) => number;
  const dlopen = libc.func('int64 dlopen(str, int)') as (
    path: string | null,
    flags: number,
  ) => number;
  const dlsym = libc.func('int64 dlsym(int64, str)') as (handle: number, name: string) => number;
  const dlerror = libc.func('str dlerror()') as () => string | null;
  const dlinfo = libc.func('int dlinfo(int64, int, void *)') as (
    handle: number,
    request: number,
    out: ArrayBufferView,
  ) => number;
  const sigaction = libc.func('int sigaction(int, void *, void *)') as (
    signal: number,
    action: ArrayBufferView | null,
    old: ArrayBufferView,
  ) => number;
  const memcpy = libc.func('void memcpy(void *, int64, uint64)') as (
    to: ArrayBufferView,
    from: number,
    length: number,
  ) => void;
  // Older glibc has these in other libraries, which Node is linked with.
  const program = koffi.load(null);
  const dlvsym = program.func('int64 dlvsym(int64, str, str)') as (
    handle: number,
    name: string,
    version: string,
  ) => number;
  // pthread_atfork is not in the shared libc; this is what it calls.
  const registerAtFork = libc.func('int __register_atfork(int64, int64, int64, int64)') as (
    ...args: number[]
  ) => number;
  const keyCreate = program.func('int pthread_key_create(void *, int64)') as (
    key: ArrayBufferView,
    destructor: number,
  ) => number;
  const setSpecific = program.func('int pthread_setspecific(uint, int64)') as (
    key: number,
    value: number,
  ) => number;
  const procedure = koffi.proto('int64 (int64, int64, int64)');
  const single = koffi.proto('int64 (int64)');
  const called = koffi.pointer(koffi.proto('int64 (int64, int64, int64, int64, int64)'));
  // Asked for before every batch of traps: one buffer for all answers.
  const old = new Uint8Array(SIGACTION.size);
  const oldWords = new DataView(old.buffer);
  const views = new Map<string, ArrayBuffer>();
  const procedures = new Map<Addr, (a: number) => number>();

  return {
    call(name, a = 0, b = 0, c = 0, d, e = 0, f = 0) {
      const result = Number(
        d === undefined ? short(SYS[name], a, b, c) : syscall(SYS[name], a, b, c, d, e, f),
      );
      return result === -1 ? -koffi.errno() : result;
    },
    system: null,
    read(at, length) {
      const copy = new Uint8Array(length);
      memcpy(copy, at, length);
      return copy;
    },
    view(at, length) {
      const key = `${at} ${length}`;
      const known = views.get(key);
      if (known) return known;
      if (views.size === VIEWS) views.clear();
      const view = koffi.view(BigInt(at), length);
      views.set(key, view);
      return view;
    },
    addressOf: (buffer) => Number(koffi.address(buffer)),
    load(path) {
      const handle = Number(dlopen(path, RTLD_NOW));
      if (handle === 0)
        throw new Fault(
          'not-loaded',
          dlerror() ?? 'dlopen failed',
          path === null ? {} : { at: path },
        );
      return handle;
    },
    linkMap(handle) {
      const out = new BigUint64Array(1);
      if (dlinfo(handle, RTLD_DI_LINKMAP, out) !== 0)
        throw new Fault('not-loaded', dlerror() ?? 'dlinfo failed');
      return Number(out[0]);
    },
    symbol: (handle, name, version) =>
      Number(version === undefined ? dlsym(handle, name) : dlvsym(handle, name, version)),
    sigaction(signal, action) {
      let next: Uint8Array | null = null;
      if (action) {
        next = new Uint8Array(SIGACTION.size);
        const view = new DataView(next.buffer);
        view.setBigUint64(SIGACTION.handler, BigInt(action.handler), true);
        view.setInt32(SIGACTION.flags, action.flags, true);
      }
      if (sigaction(signal, next, old) !== 0)
        throw new Fault('not-supported', `sigaction(${signal}): ${errorName(-koffi.errno())}`);
      return {
        handler: Number(oldWords.getBigUint64(SIGACTION.handler, true)),
        flags: oldWords.getInt32(SIGACTION.flags, true),
      };
    },
    atFork(prepare, parent, child) {
      const failed = registerAtFork(prepare, parent, child, 0);
      if (failed !== 0)
        throw new Fault(
          'no-memory',
          `the handlers around fork were refused: ${errorName(-failed)}`,
        );
    },
    createThreadKey(destructor) {
      const key = new Uint32Array(1);
      const failed = keyCreate(key, destructor);
      if (failed !== 0)
        throw new Fault('no-memory', `a pthread key was refused: ${errorName(-failed)}`);
      return key[0]!;
    },
    setThreadValue(key, value) {
      const failed = setSpecific(key, value);
      if (failed !== 0)
        throw new Fault(
          'no-memory',
          `a value for a pthread key was refused: ${errorName(-failed)}`,
        );
    },
    library(path) {
      const library = koffi.load(path);
      return (declaration) => library.func(declaration);
    },
    procedure(at) {
      let code = procedures.get(at);
      if (!code)
        procedures.set(at, (code = koffi.decode(BigInt(at), single) as (a: number) => number));
      return code;
    },
    callback: (body) => Number(koffi.address(koffi.register(body, called))),
    invoke: (at, a = 0, b = 0, c = 0) => Number(koffi.call(BigInt(at), procedure, a, b, c)),
  };
}
