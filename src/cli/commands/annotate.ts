// Files to the same files with a table of their sites. Each file is judged by itself: one that is
// refused is left as it was and the others are still done; the status then says that something was
// refused.

import { readOriginal, replaceFile, rewriteFile } from '../../base/file.js';
import { EXIT, Fault, inFile, isFault } from '../../base/fault.js';
import { readElf } from '../../elf/read.js';
import { printable } from '../../base/printable.js';
import { declaredKeys } from '../../keys/records.js';
import { annotate, type Annotated } from '../../sites/annotate.js';
import { checkReadable, whyNoSites } from '../../sites/readable.js';
import { SITE_TAIL } from '../../sites/site.js';
import type { Context } from '../context.js';
import { report } from '../report.js';

export interface Flags {
  readonly module: boolean;
  readonly force: boolean;
  readonly output?: string;
  readonly json: boolean;
}

interface Row {
  readonly path: string;
  readonly outcome: Annotated['outcome'] | 'refused';
  readonly sites: number;
  readonly tail: number;
  readonly fault: { code: string; message: string; hint: string; at: string | null } | null;
}

export function run(context: Context, flags: Flags, ...paths: string[]): number {
  if (flags.output !== undefined && paths.length !== 1)
    throw new Fault('bad-usage', `-o takes one file and ${paths.length} are given`);
  const rows = paths.map((path) => one(context, flags, path));
  if (flags.json) context.json('static-call/annotate@1', { files: rows });
  return rows.some((row) => row.outcome === 'refused') ? EXIT.input : EXIT.good;
}

function one(context: Context, flags: Flags, path: string): Row {
  try {
    return inFile(path, () => written(context, flags, path));
  } catch (error) {
    if (!isFault(error)) throw error;
    const { code, message, hint, at = path } = error;
    if (!flags.json) context.note(report(error, '', context.paint).text);
    return { path, outcome: 'refused', sites: 0, tail: 0, fault: { code, message, hint, at } };
  }
}

function written(context: Context, flags: Flags, path: string): Row {
  const original = readOriginal(path);
  const { bytes } = original;
  const object = readElf(bytes, path);
  checkReadable(object);
  const {
    outcome,
    sites,
    bytes: annotated,
  } = annotate(object, {
    module: flags.module,
    force: flags.force,
    declared: declaredKeys(object),
  });
  // Without a change the file is not even touched; a copy that was asked for is made all the same.
  if (flags.output !== undefined) replaceFile(flags.output, annotated ?? bytes, original.stats);
  else if (annotated) rewriteFile(original, annotated);
  const tail = sites.filter((s) => (s.flags & SITE_TAIL) !== 0).length;
  if (!flags.json) say(context, path, outcome, sites.length, tail);
  if (annotated && isSigned(bytes))
    context.note(`${printable(path)}: its signature is void now; sign the module again`);
  const why = outcome === 'no-sites' ? whyNoSites(object) : null;
  if (why !== null && !flags.json) context.note(printable(`${path}: ${why}`));
  return { path, outcome, sites: sites.length, tail, fault: null };
}

/** The kernel's sign-file appends the signature and this line (linux/module_signature.h). */
const SIGNED = Buffer.from('~Module signature appended~\n');
const isSigned = (bytes: Buffer): boolean => bytes.subarray(-SIGNED.length).equals(SIGNED);

const plural = (n: number, noun: string): string =>
  `${n.toLocaleString('en-US')} ${noun}${n === 1 ? '' : 's'}`;

function say(
  context: Context,
  path: string,
  outcome: Annotated['outcome'],
  sites: number,
  tail: number,
): void {
  const name = printable(path);
  const found = `${plural(sites, 'site')}${tail > 0 ? `, ${tail} tail` : ''}`;
  if (outcome === 'present')
    context.note(`${name}: has a table already (${found}); --force writes it again`);
  else context.print(`${name}: ${outcome === 'no-sites' ? 'no sites' : found}`);
}
