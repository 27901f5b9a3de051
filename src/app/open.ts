// Opening: an object is loaded (or adopted, if it is in the process already), its sites are found,
// the trap handler is installed, and every site is patched to call its key's target itself.

import { Fault, inFile } from '../base/fault.js';
import { DEFAULT_PROTOCOL } from '../plan/protocols/index.js';
import { keysOf } from '../keys/bind.js';
import { registerBarrier } from '../machine/linux/membarrier.js';
import { registerSites } from '../machine/process/register.js';
import { Runtime } from '../machine/process/runtime.js';
import { loadObject, readObject } from '../machine/process/loaded.js';
import { openNative, type Native } from '../machine/linux/native.js';
import { TrapWatch } from '../machine/process/signals.js';
import { Engine } from '../machine/process/engine.js';
import { checkOption, Program, protocolOf } from './program.js';
import { Server, updatesFromC } from './serve.js';
import type { App, Keys, OpenOptions } from './types.js';

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

/** As `open`, with the effects in the caller's hands: for fault injection. */
export function openWith<K extends Keys = Keys>(
  native: Native,
  path: string,
  options: OpenOptions,
): Program<K> {
  const protocol = protocolOf(options.protocol ?? DEFAULT_PROTOCOL);
  checkOption('writer', options.writer, ['procmem', 'alias']);
  checkOption('assume', options.assume, ['procmem-stores-are-atomic']);
  const { path: real, object } = readObject(path);
  const keys = inFile(path, () => keysOf(object));
  if (keys.length === 0)
    throw new Fault('no-sites', 'it has neither static calls nor keys', { at: path });
  registerBarrier(native);
  const writer = options.writer ?? 'procmem';
  const how = { writer, trustProcmem: options.assume === 'procmem-stores-are-atomic' } as const;
  const runtime = new Runtime(native);
  const engine = new Engine(runtime, new TrapWatch(runtime), how);
  const serves = options.serveUpdates ?? updatesFromC(object);
  const server = serves ? new Server(runtime, { ...how, protocol }) : null;
  runtime.locked(() => engine.hold());
  let program: Program<K>;
  try {
    const loaded = loadObject(native, real, object, keys);
    program = runtime.locked(() => {
      const registered = registerSites(runtime, loaded, keys);
      const opened = new Program<K>({ runtime, loaded, engine, options, server }, registered);
      opened.inline();
      return opened;
    });
  } catch (error) {
    runtime.locked(() => engine.release());
    throw error;
  }
  try {
    server?.start();
  } catch (error) {
    program.close();
    throw error;
  }
  return program;
}
