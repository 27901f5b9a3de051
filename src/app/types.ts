/// <reference lib="esnext.disposable" preserve="true" />
// The public types of `open`. docs and tests hold this surface still: a change here is a decision.
// The line above goes along into the declarations, for `Disposable` is in no released edition of
// the language that a user may have chosen.

import type { Protocol } from '../plan/protocol.js';
import type { ProtocolName } from '../plan/protocols/index.js';

/**
 * Key to the names of its declared targets; null in the union where the key may be empty. A static
 * key is a boolean.
 */
export type Keys = Record<string, string | null | boolean>;

/**
 * How a program is opened. A value that there is not is Fault `bad-option` or `unknown-protocol`.
 */
export interface OpenOptions {
  /**
   * Default `auto`: each site by the cheapest way that is right for its change. `update` may choose
   * another one.
   */
  readonly protocol?: ProtocolName | Protocol;
  /** How text is written: through /proc/self/mem (default), or through a second mapping. */
  readonly writer?: 'procmem' | 'alias';
  /**
   * Accepts by name that the kernel copies four and eight bytes inside a line by one instruction,
   * which is observed and not promised: without it the protocol `store` is refused on the `procmem`
   * writer.
   */
  readonly assume?: 'procmem-stores-are-atomic';
  /**
   * Whether a thread serves `static_call_update()`, `static_key_enable()` and the like called from
   * C. Default: if the object's code calls one. Without a thread they return -ENOSYS.
   */
  readonly serveUpdates?: boolean;
}

/**
 * How one update is done. A value that there is not is Fault `bad-option` or `unknown-protocol`.
 */
export interface UpdateOptions {
  /** In place of the one the program was opened with. */
  readonly protocol?: ProtocolName | Protocol;
  /** Refuse, with nothing changed, where a site would have to stay on its trampoline. */
  readonly require?: 'inline';
}

/**
 * A target that the program did not declare: the caller answers for its type. Made by `unchecked`.
 */
export interface Unchecked {
  readonly unchecked: string | bigint;
}

/** A JavaScript function and the C type that it is called with. Made by `target`. */
export interface FunctionTarget<
  F extends (...args: never[]) => unknown = (...args: never[]) => unknown,
> {
  readonly function: F;
  readonly type: string;
}

/** A key of an open program. */
export interface Key<T> {
  readonly name: string;
  /**
   * The current target's name; null when empty, 'ret0' when it returns 0, an address for a nameless
   * one. Of a static key, whether it is on.
   */
  readonly target: T;
  /**
   * What `update` accepts by name: the declared targets, null where the key may be empty, 'ret0'
   * where it may return 0. Of a static key, false and true.
   */
  readonly targets: readonly T[];
  /** Number of its call sites, or of the branches on it. */
  readonly sites: number;
}

/** What one update did. Disposing it takes it back, except for keys that were updated since. */
export interface Update extends Disposable {
  readonly changes: readonly {
    readonly key: string;
    readonly from: string | null | boolean;
    readonly to: string | null | boolean;
  }[];
  /**
   * Sites that run the new instruction, and sites that reach the target through their trampoline.
   */
  readonly inline: number;
  readonly trampoline: number;
  /** Calls that the trap handler emulated while the update ran. */
  readonly traps: number;
  /**
   * How many sites and trampolines were written by each way: `byte` where one byte changed, `store`
   * where one store inside an aligned quadword did it, `behind` where the site was off and its rest
   * was written first, `trap` where a trap hid it meanwhile. Under `int3` all are trapped for,
   * under `store` all are stored.
   */
  readonly ways: Readonly<Record<'byte' | 'store' | 'behind' | 'trap', number>>;
  /** `c`: static_call_update(), static_key_enable() and the like of the C side made it. */
  readonly by: 'js' | 'c';
  /** How long it took, nanoseconds. */
  readonly ns: number;
  /**
   * Sends each key back to where it went before, unless it was updated since or the program was
   * closed; a second time does nothing.
   * @throws Fault as `App.update` does
   */
  undo(): void;
}

/**
 * Counts the calls of a key until it is stopped or disposed. What is measured is how many calls
 * came, and the time in which they came. How long a call took is not measured: that needs code that
 * sees the call return, which would move the arguments that lie on the stack.
 */
export interface Trace extends Disposable {
  readonly key: string;
  /** Where the counted calls go on to. */
  readonly target: string | null;
  /**
   * Calls so far. A call that a thread had begun when the trace was stopped may be counted a moment
   * later: read it again when the threads have come by.
   */
  readonly calls: number;
  /** How long calls were counted, or are being counted, nanoseconds. */
  readonly ns: number;
  /** Calls a second, over that time. */
  readonly perSecond: number;
  /**
   * Whether the key was updated while it was traced. Calls were counted until then, and it keeps
   * its newer target.
   */
  readonly retargeted: boolean;
  /**
   * Leads the key back to its target. A second time does nothing.
   * @throws Fault as `App.update` does; the trace then goes on
   */
  stop(): void;
}

/** A call site, a branch on a static key or a trampoline, as it is in this process now. */
export interface SiteReport {
  readonly key: string;
  /** As it lies in this process. */
  readonly address: bigint;
  /**
   * The enclosing function's symbol, if the file names it, and the offset in it: `blend_row+0x1c`.
   */
  readonly where: string;
  /** `if` and `unless`: a branch that jumps if its static key is on, or unless it is. */
  readonly kind: 'call' | 'jmp' | 'jcc' | 'trampoline' | 'if' | 'unless';
  /** What stands there now, as hex digits. */
  readonly bytes: string;
  /** Whether it was patched, so that it goes to the target itself. A branch always does. */
  readonly inline: boolean;
  /**
   * For each protocol: null where it accepts the site, else why not. Asked with a target, for the
   * change from what stands there to that target; else for the change between two functions.
   */
  readonly protocols: Readonly<Record<ProtocolName, string | null>>;
}

/** A place whose bytes are not what its key says. */
export interface Drift {
  readonly key: string;
  readonly address: bigint;
  /** The site's bytes, as hex digits. */
  readonly expected: string;
  readonly found: string;
  /**
   * `parked`: what an unfinished update of ours left, as a rule a trap that stays and is emulated.
   * `foreign`: written by other code.
   */
  readonly kind: 'parked' | 'foreign';
}

/** A program whose static calls can be retargeted. */
export interface App<K extends Keys> extends Disposable {
  readonly path: string;
  readonly keys: { readonly [N in keyof K]: Key<K[N]> };
  /**
   * One batch: validated whole before the first byte is written, one set of synchronisations
   * whatever its size. When it returns, no call begins to a replaced target; a thread may still be
   * inside one.
   * @throws Fault with nothing changed: `closed`, `unknown-key`, `unknown-target`, `null-refused`,
   *   `ret0-refused`, `bad-option`, `unknown-protocol`, `bad-protocol`, `store-refused`,
   *   `not-inline`, `out-of-reach`, `foreign-trap`, `drift`, `handler-replaced`, `trap-blocked`,
   *   `shadow-stack`, `busy`; `update-failed`, `update-mixed` and `update-parked` say how it ended
   */
  update(
    targets: { readonly [N in keyof K]?: K[N] | Unchecked | FunctionTarget },
    options?: UpdateOptions,
  ): Update;
  /**
   * Of one key, or of all. With a target of the key, `protocols` answers for that one. Closed or
   * not.
   * @throws Fault `unknown-key`; with a target also what `update` throws of one
   * @example app.sites('trace', null).filter((site) => site.protocols.store !== null)
   */
  sites<N extends keyof K>(key?: N, target?: K[N] | Unchecked): readonly SiteReport[];
  /**
   * Counts the calls of a key by machine code in front of its target: one locked increment a call.
   * It is an update there and one back. Meanwhile the key's target is told as
   * `blend_avx2 (counted)`, and what C reads in the key is the counter's address, which is not NULL
   * for an empty key either.
   * @throws Fault `busy` where the key is traced already, `not-supported` of a static key, and what
   *   `update` throws
   * @example
   * const trace = app.trace('blend');
   * setTimeout(() => {
   *   trace.stop();
   *   console.log(trace.calls, trace.perSecond);
   * }, 1000);
   */
  trace<N extends keyof K & string>(key: N): Trace;
  /** Every site and trampoline against its key; empty when all agree. Closed or not. */
  verify(): readonly Drift[];
  /**
   * The last updates, oldest first, those that C code made too: a thousand at most, which hold a
   * hundred thousand changes at most unless it is one update.
   */
  readonly journal: readonly Update[];
  /**
   * Puts everything back as the file has it, unless the object is open a second time. The handler
   * stays, because a thread may be on its way into it. A second time does nothing.
   * @throws Fault as `update` does; the program is then still open
   */
  close(): void;
}

/** How another process is attached to. A value that there is not is Fault `bad-option`. */
export interface AttachOptions {
  /**
   * Name or path, as the target sees it, of the object; default: every object with keys. Two that
   * define a key of one name are Fault `ambiguous-key`.
   */
  readonly object?: string;
  /** A file with the same content, where the one that the target runs cannot be read from here. */
  readonly file?: string;
  /**
   * `int3`, if left out: one thread is borrowed, and a trap handler installed. `stop`: every thread
   * is stopped while the tool writes, and nothing is installed, for a program that has a SIGTRAP
   * handler of its own or a seccomp filter that refuses what a handler needs. No other is possible,
   * because the text of another process has no writable mapping.
   */
  readonly protocol?: 'int3' | 'stop';
}

/** Another process whose static calls can be retargeted. */
export interface Attached<K extends Keys> extends App<K> {
  readonly pid: number;
  /** The objects with keys; `keys` is their number, `buildId` null where the linker wrote none. */
  readonly objects: readonly {
    readonly path: string;
    readonly buildId: string | null;
    readonly keys: number;
  }[];
  /**
   * Which thread was borrowed last, and for how long, nanoseconds. Under `stop` it is one of those
   * that were held, and `threads` is how many they were.
   */
  readonly held: { readonly thread: number; readonly threads: number; readonly ns: number } | null;
  /**
   * Looks for objects that were loaded or unloaded since.
   * @throws Fault as `attach` does
   */
  refresh(): void;
  /** Leaves everything as it is. Disposing does this, and not `close`. */
  detach(): void;
}
