// The two doors of the library. They are apart from what is behind them, so that their declarations
// name nothing of it: a user's compiler reads the public types and no others.

import { openNative } from '../machine/linux/native.js';
import { attachWith } from './attach.js';
import { openWith } from './open.js';
import type { App, Attached, AttachOptions, Keys, OpenOptions } from './types.js';

/**
 * Opens a shared object built with `static_call.h`, or the program that this process runs: loads it
 * if it is not loaded, and takes charge of its static calls. It stays loaded for the life of the
 * process, opened or closed.
 *
 * @param path of the object, as for dlopen but always a path of a file; another program cannot be
 *   loaded
 * @throws Fault `no-such-file`, `not-elf` and others of the ELF floor, `no-sites`, `no-trampoline`,
 *   `bad-site`,
 *   `foreign-trap`, `no-membarrier`, `no-text-write`, `trap-blocked`, `not-loaded`, `not-supported`
 * @example
 * const app = open<Filters>('./libfilters.so');
 * app.update({ blend: 'blend_avx2', trace: null });
 */
export function open<K extends Keys = Keys>(path: string, options: OpenOptions = {}): App<K> {
  return openWith<K>(openNative(), path, options);
}

/**
 * Takes charge of the static calls of another running program built with `static_call.h`. One
 * thread of it is stopped, for a fraction of a millisecond for an update; no other is. What is
 * changed stays when this process ends, and a later attach finds it.
 *
 * @throws Fault `no-such-process`, `not-yours`, `ptrace-scope`, `no-attach`, `traced`,
 *   `target-stopped`, `target-gone`, `no-thread`, `no-way-in`, `call-refused`, `not-same-file`,
 *   `ambiguous-key`, and what `open` throws of an object
 * @example
 * try {
 *   attach(process.ppid).update({ route: 'route_fast' });
 * } catch (fault) {
 *   if (!isFault(fault)) throw fault;
 *   console.log(fault.code); // no-sites, because node has no static calls
 * }
 */
export function attach<K extends Keys = Keys>(
  pid: number,
  options: AttachOptions = {},
): Attached<K> {
  return attachWith<K>(openNative(), pid, options);
}
