// A protocol from a file of its own: one .mjs module whose default export (or export named
// `protocol`) is data in the shape of plan/protocol.ts. docs/protocols.md has a worked example.

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Fault } from '../../base/fault.js';
import type { Protocol } from '../../plan/protocol.js';
import { validateProtocol } from '../../plan/validate.js';

/**
 * Whether a word names a file and not a known protocol, some of which have a slash in their names:
 * it has an extension, or begins as a path does.
 */
export function namesFile(word: string): boolean {
  return /\.[a-z]+$|^\.{0,2}\//i.test(word);
}

/** @throws Fault `no-such-file`, `bad-protocol` */
export async function loadProtocol(path: string): Promise<Protocol> {
  if (/\.[cm]?tsx?$/.test(path)) {
    throw new Fault('bad-protocol', 'it is TypeScript, which node does not run by itself', {
      at: path,
      hint: 'compile it to an .mjs file, or write that directly: a protocol is data',
    });
  }
  if (!path.endsWith('.mjs'))
    throw new Fault('bad-protocol', 'its name does not end in .mjs', { at: path });
  let module: Record<string, unknown>;
  try {
    module = (await import(pathToFileURL(resolve(path)).href)) as Record<string, unknown>;
  } catch (cause) {
    const missing =
      (cause as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND' &&
      (cause as Error).message.includes(resolve(path));
    if (missing) throw new Fault('no-such-file', `there is no file ${path}`, { at: path });
    throw new Fault('bad-protocol', `it cannot be loaded: ${(cause as Error).message}`, {
      at: path,
      cause,
    });
  }
  const value = module['default'] ?? module['protocol'];
  if (value === undefined)
    throw new Fault('bad-protocol', 'it exports no protocol', {
      at: path,
      hint: 'export default { name, about, accepts, handler, steps }',
    });
  return validateProtocol(value);
}
