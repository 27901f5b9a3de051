// A linked file to the TypeScript type of its keys.

import { readWhole, replaceFile } from '../../base/file.js';
import { EXIT, Fault, inFile } from '../../base/fault.js';
import { readElf } from '../../elf/read.js';
import { bindKeys } from '../../keys/bind.js';
import { accepted } from '../../keys/key.js';
import { describable, isTypeName, typeNameOf, typesOf } from '../../keys/typescript.js';
import type { Context } from '../context.js';

export interface Flags {
  readonly output?: string;
  readonly name?: string;
  readonly json: boolean;
}

export function run(context: Context, flags: Flags, path: string): number {
  const name = flags.name ?? typeNameOf(path);
  if (!isTypeName(name))
    throw new Fault('bad-usage', `${name} is no name for a type`, { hint: 'give one by --name' });
  // The sites do not matter here: a key's type is the same however often it is called.
  const keys = inFile(path, () => bindKeys(readElf(readWhole(path), path), []));
  if (describable(keys).length === 0)
    throw new Fault('no-keys', 'the file defines no key', { at: path });
  const text = typesOf(keys, name);
  if (flags.output !== undefined) replaceFile(flags.output, text);
  if (flags.json) {
    const rows = describable(keys).map((key) => ({
      name: key.name,
      returns: key.returns,
      accepts: accepted(key),
    }));
    context.json('static-call/types@1', { type: name, keys: rows });
  } else if (flags.output === undefined) context.print(text.trimEnd());
  return EXIT.good;
}
