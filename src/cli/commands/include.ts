// Where `static_call.h` is, for `-I"$(static-call include)"`.

import { fileURLToPath } from 'node:url';
import { EXIT } from '../../base/fault.js';
import type { Context } from '../context.js';

export interface Flags {
  readonly json: boolean;
}

/** Absolute, without a slash at the end. */
export function includeDir(): string {
  return fileURLToPath(new URL('../../../include', import.meta.url));
}

export function run(context: Context, flags: Flags): number {
  if (flags.json) context.json('static-call/include@1', { path: includeDir() });
  else context.print(includeDir());
  return EXIT.good;
}
