// Keys to the TypeScript type that `open<...>` takes, so that a wrong name is found before the
// program runs. The text depends on nothing but the keys: no path, no date, sorted, so that it can
// be committed and compared.

import { printable } from '../base/printable.js';
import { accepted, type KeyDef } from './key.js';

/** `libfoo-bar.so.1` to `FooBar`. */
export function typeNameOf(file: string): string {
  const stem = file
    .replace(/^.*\//, '')
    .replace(/^lib(?=.)/, '')
    .replace(/\.(so(\.\d+)*|o|ko|exe|node)$/, '');
  const name = stem
    .split(/[^A-Za-z0-9]+/)
    .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1))
    .join('');
  return /^[A-Za-z]/.test(name) ? name : `Keys${name}`;
}

/** Words that the language keeps for itself, as far as they could name a type otherwise. */
const RESERVED: ReadonlySet<string> = new Set(
  [
    'any as async await bigint boolean break case catch class const continue debugger default',
    'delete do else enum export extends false finally for function if implements import in',
    'instanceof interface let never new null number object package private protected public',
    'return static string super switch symbol this throw true try type typeof undefined unknown',
    'var void while with yield',
  ].flatMap((line) => line.split(' ')),
);

export function isTypeName(name: string): boolean {
  return /^[A-Za-z_$][\w$]*$/.test(name) && !RESERVED.has(name);
}

/**
 * A string literal, whatever the name is: printable() shows a character by an escape that is one of
 * the language's as well, once backslashes are doubled.
 */
const quoted = (name: string): string =>
  `'${printable(name.replaceAll('\\', '\\\\').replaceAll("'", "\\'"))}'`;

const IDENTIFIER = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;

/** A file chooses its names freely, and none of them may become code. */
const property = (name: string): string => (IDENTIFIER.test(name) ? name : quoted(name));

/**
 * The keys that a file of types speaks of: a key that this object merely calls is for its owner to
 * describe.
 */
export function describable(keys: readonly KeyDef[]): readonly KeyDef[] {
  return keys.filter((key) => key.address !== null || key.targets.length > 0);
}

const literal = (name: string | null | boolean): string =>
  typeof name === 'string' ? quoted(name) : String(name);

export function typesOf(keys: readonly KeyDef[], name: string): string {
  const rows = describable(keys).map((key) => {
    const literals = key.kind === 'branch' ? ['boolean'] : accepted(key).map(literal);
    // No declared target: whatever is asked for must be unchecked, and is typed as that by
    // `update`.
    const type = literals.length > 0 ? literals.join(' | ') : 'never';
    return `  readonly ${property(key.name)}: ${type};`;
  });
  return [
    '// Written by static-call types: write it again when the keys or their targets change.',
    '',
    '/** For open<...>: each key with what may become its target. null empties it, ' +
      "'ret0' makes it return 0. */",
    `export type ${name} = {`,
    ...rows,
    '};',
    '',
  ].join('\n');
}
