// The C file by which a program updates its own static calls, written where it is asked for.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile } from '../../base/file.js';
import { EXIT } from '../../base/fault.js';
import { RUNTIME_FILE } from '../../host/runtime-link.js';
import { runtimeSource } from '../../host/runtime.js';
import { version } from '../../host/version.js';
import type { Context } from '../context.js';
import { includeDir } from './include.js';

export interface Flags {
  readonly output?: string;
  readonly json: boolean;
}

export function runtimeText(): string {
  return runtimeSource(readFileSync(join(includeDir(), RUNTIME_FILE), 'utf8'), version());
}

export function run(context: Context, { output, json }: Flags): number {
  const text = runtimeText();
  if (output !== undefined) replaceFile(output, text);
  if (json) context.json('static-call/runtime@1', { path: output ?? null, text });
  else if (output === undefined) context.print(text.trimEnd());
  return EXIT.good;
}
