// A protocol from a file of its own, in the shape of plan/protocol.ts: JSON, which is only read, or
// an .mjs module, whose code runs, with the protocol as its default export or the one named
// `protocol`. docs/protocols.md works examples.

import { readFileSync } from 'node:fs';
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
  if (path.endsWith('.json')) return validateProtocol(parsed(path));
  if (!path.endsWith('.mjs'))
    throw new Fault('bad-protocol', 'its name ends in neither .mjs nor .json', { at: path });
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

/** JSON that is only read: nothing in it runs. */
function parsed(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new Fault('no-such-file', `there is no file ${path}`, { at: path, cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Fault('bad-protocol', `it is no JSON: ${(cause as Error).message}`, {
      at: path,
      cause,
    });
  }
}
