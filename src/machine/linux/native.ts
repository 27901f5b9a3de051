// The only door to the operating system and to koffi. Everything that a process machine does to the
// process goes through this interface, so that a test can hand in one that refuses the k-th effect.

import { createRequire } from 'node:module';
import { getSystemErrorName } from 'node:util';
import type koffiModule from 'koffi';
import type { Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { invariant } from '../../base/invariant.js';
import { SYS } from '../../base/linux.js';

type Koffi = typeof koffiModule;

/** System calls by name. */
export type Call = keyof typeof SYS;

export { MAP, PROT, SYS } from '../../base/linux.js';

/** System calls, and machine code that is called. */
export interface Kernel {
  /** The result, or the negated error number. Arguments are addresses or integers. */
  call(name: Call, ...args: readonly number[]): number;
  /**
   * What machine code makes its system calls through: the address of a function of C's (number, and
   * up to four arguments) that returns as the kernel does. null: the instruction itself.
   */
  readonly system: Addr | null;
  /** Calls machine code with up to three integers; returns what it left in rax. */
  invoke(at: Addr, a?: number, b?: number, c?: number): number;
  /** The same for code that is called often, with one integer: a fifth of the cost. */
  procedure(at: Addr): (a: number) => number;
  /**
   * Machine code that calls a function of ours with up to five integers, on the thread that runs
   * this.
   */
  callback(body: (a: number, ...more: number[]) => number): Addr;
  /**
   * The same for a function of any C type, `int (int, const char *)`, called from any thread: one
   * that is not ours waits for our event loop. It is there as long as the environment.
   * @throws Fault `bad-option` where the type is not understood
   */
  closure(type: string, body: (...args: never[]) => unknown): Addr;
}

export interface Memory {
  /** A copy of some bytes; cheaper than a view of what is read once. */
  read(at: Addr, length: number): Uint8Array;
  /** The memory itself, not a copy. */
  view(at: Addr, length: number): ArrayBuffer;
  /** Address of a buffer of ours; the caller keeps it alive. */
  addressOf(buffer: ArrayBufferView): Addr;
}

/** What libc and the dynamic linker do for this process. */
export interface Loader {
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
  library(path: string): <F extends NativeFunction>(declaration: string) => F;
}

export interface Native extends Kernel, Memory, Loader {}

/**
 * What it takes and returns is in its C declaration; the caller states the same for the compiler.
 */
type NativeFunction = (...args: never[]) => unknown;

export interface SignalAction {
  readonly handler: Addr;
  readonly flags: number;
}

/**
 * The same effects with every system call in the caller's hands, those that machine code makes too:
 * to count, delay or refuse them.
 */
export function intercepted(native: Native, call: Native['call']): Native {
  const names = new Map<number, Call>(
    (Object.keys(SYS) as Call[]).map((name) => [SYS[name], name]),
  );
  return {
    ...native,
    call,
    system: native.callback((number, ...args) => {
      const name = names.get(number);
      invariant(name !== undefined, 'machine code makes system calls of the table');
      return call(name, ...args);
    }),
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

function loadKoffi(require: NodeJS.Require): Koffi {
  try {
    return require('koffi');
  } catch (cause) {
    throw new Fault('not-supported', 'koffi, which makes system calls, cannot be loaded', {
      cause,
      hint: process.execArgv.includes('--no-addons')
        ? 'start node without --no-addons'
        : 'install the package again, on a system that its addon was built for',
    });
  }
}

/** The functions of C that everything here is made of, as koffi hands them over. */
interface Definitions {
  /** Up to six arguments. */
  syscall(...args: number[]): number;
  /** Every argument that is converted costs: a synchronisation has three of them. */
  short(...args: number[]): number;
  dlopen(path: string | null, flags: number): number;
  dlsym(handle: number, name: string): number;
  dlvsym(handle: number, name: string, version: string): number;
  dlerror(): string | null;
  dlinfo(handle: number, request: number, out: ArrayBufferView): number;
  sigaction(signal: number, action: ArrayBufferView | null, old: ArrayBufferView): number;
  memcpy(to: ArrayBufferView, from: number, length: number): void;
  registerAtFork(...args: number[]): number;
  keyCreate(key: ArrayBufferView, destructor: number): number;
  setSpecific(key: number, value: number): number;
}

type Library = ReturnType<Native['library']>;

const libraryOf = (koffi: Koffi, path: string | null): Library => {
  const library = koffi.load(path);
  return <F extends NativeFunction>(declaration: string) => {
    const made: NativeFunction = library.func(declaration);
    return made as F;
  };
};

function definitions(koffi: Koffi): Definitions {
  const libc = libraryOf(koffi, 'libc.so.6');
  // Older glibc has some in other libraries, which Node is linked with.
  const program = libraryOf(koffi, null);
  return {
    syscall: libc('long syscall(long, int64, int64, int64, int64, int64, int64)'),
    short: libc('long syscall(int, int64, int64, int64)'),
    dlopen: libc('int64 dlopen(str, int)'),
    dlsym: libc('int64 dlsym(int64, str)'),
    dlvsym: program('int64 dlvsym(int64, str, str)'),
    dlerror: libc('str dlerror()'),
    dlinfo: libc('int dlinfo(int64, int, void *)'),
    sigaction: libc('int sigaction(int, void *, void *)'),
    memcpy: libc('void memcpy(void *, int64, uint64)'),
    // pthread_atfork is not in the shared libc; this is what it calls.
    registerAtFork: libc('int __register_atfork(int64, int64, int64, int64)'),
    keyCreate: program('int pthread_key_create(void *, int64)'),
    setSpecific: program('int pthread_setspecific(uint, int64)'),
  };
}

function bind(): Native {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Fault('not-supported', `this is ${process.platform} on ${process.arch}`);
  }
  // At first use, never at import: loading it costs 12 ms and dlopens its addon.
  const koffi = loadKoffi(createRequire(import.meta.url));
  const defined = definitions(koffi);
  return {
    ...kernel(koffi, defined),
    ...memory(koffi, defined),
    ...linker(koffi, defined),
    ...handlers(koffi, defined),
    ...code(koffi),
  };
}

function kernel(koffi: Koffi, { short, syscall }: Definitions): Pick<Native, 'call' | 'system'> {
  return {
    call(name, a = 0, b = 0, c = 0, d, e = 0, f = 0) {
      const result = Number(
        d === undefined ? short(SYS[name], a, b, c) : syscall(SYS[name], a, b, c, d, e, f),
      );
      return result === -1 ? -koffi.errno() : result;
    },
    system: null,
  };
}

function memory(
  koffi: Koffi,
  { memcpy }: Definitions,
): Pick<Native, 'read' | 'view' | 'addressOf'> {
  const views = new Map<string, ArrayBuffer>();
  return {
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
  };
}

function linker(
  koffi: Koffi,
  { dlopen, dlsym, dlvsym, dlerror, dlinfo }: Definitions,
): Pick<Native, 'load' | 'linkMap' | 'symbol' | 'library'> {
  return {
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
    library: (path) => libraryOf(koffi, path),
  };
}

/** What the kernel and libc call in this process: at a signal, around fork, as a thread ends. */
function handlers(
  koffi: Koffi,
  { sigaction, registerAtFork, keyCreate, setSpecific }: Definitions,
): Pick<Native, 'sigaction' | 'atFork' | 'createThreadKey' | 'setThreadValue'> {
  // Asked for before every batch of traps: one buffer for all answers.
  const old = new Uint8Array(SIGACTION.size);
  const oldWords = new DataView(old.buffer);
  const refused = (what: string, errno: number): Fault =>
    new Fault('no-memory', `${what} refused: ${errorName(-errno)}`);
  return {
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
      if (failed !== 0) throw refused('the handlers around fork were', failed);
    },
    createThreadKey(destructor) {
      const key = new Uint32Array(1);
      const failed = keyCreate(key, destructor);
      if (failed !== 0) throw refused('a pthread key was', failed);
      return Number(key[0]);
    },
    setThreadValue(key, value) {
      const failed = setSpecific(key, value);
      if (failed !== 0) throw refused('a value for a pthread key was', failed);
    },
  };
}

/** @throws Fault `bad-option` */
function pointerTo(koffi: Koffi, type: string): ReturnType<Koffi['pointer']> {
  try {
    return koffi.pointer(koffi.proto(type));
  } catch (cause) {
    throw new Fault(
      'bad-option',
      `${JSON.stringify(type)} is not understood as a function's type`,
      {
        cause,
        hint: "write it as C does, without a name: 'int (int, const char *)'",
      },
    );
  }
}

/** Machine code that is called from here, and functions of ours that it calls. */
function code(koffi: Koffi): Pick<Native, 'invoke' | 'procedure' | 'callback' | 'closure'> {
  const three = koffi.proto('int64 (int64, int64, int64)');
  const single = koffi.proto('int64 (int64)');
  const called = koffi.pointer(koffi.proto('int64 (int64, int64, int64, int64, int64)'));
  const procedures = new Map<Addr, (a: number) => number>();
  return {
    invoke: (at, a = 0, b = 0, c = 0) => Number(koffi.call(BigInt(at), three, a, b, c)),
    procedure(at) {
      const known = procedures.get(at);
      if (known) return known;
      const made: (a: number) => number = koffi.decode(BigInt(at), single);
      procedures.set(at, made);
      return made;
    },
    callback: (body) => Number(koffi.address(koffi.register(body, called))),
    closure(type, body) {
      const pointer = pointerTo(koffi, type);
      return Number(koffi.address(koffi.register(body, pointer)));
    },
  };
}
