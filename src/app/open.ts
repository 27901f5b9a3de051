// Opening: an object is loaded (or adopted, if it is in the process already), its sites are found,
// the trap handler is installed, and every site is patched to call its key's target itself.

import { Fault, inFile } from '../base/fault.js';
import { DEFAULT_PROTOCOL } from '../plan/protocols/index.js';
import { keysOf } from '../keys/bind.js';
import { registerBarrier } from '../machine/linux/membarrier.js';
import { registerSites } from '../machine/process/register.js';
import { Runtime } from '../machine/process/runtime.js';
import { loadObject, readObject } from '../machine/process/loaded.js';
import type { Native } from '../machine/linux/native.js';
import { TrapWatch } from '../machine/process/signals.js';
import { Engine } from '../machine/process/engine.js';
import { checkOption, Program, protocolOf } from './program.js';
import { Server, updatesFromC } from './serve.js';
import type { Keys, OpenOptions } from './types.js';

/** `open` (index.ts), with the effects in the caller's hands: for fault injection too. */
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
