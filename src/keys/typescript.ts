// Keys to the TypeScript type that `open<...>` takes, so that a wrong name is found before the program runs. The
// text depends on nothing but the keys: no path, no date, sorted, so that it can be committed and compared.

import { RET0, type KeyDef } from './key.js';

/** `libfoo-bar.so.1` to `FooBar`. */
export function typeNameOf(file: string): string {
  const stem = file.replace(/^.*\//, '').replace(/^lib(?=.)/, '').replace(/\.(so(\.\d+)*|o|ko|exe|node)$/, '');
  const name = stem.split(/[^A-Za-z0-9]+/).map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join('');
  return /^[A-Za-z]/.test(name) ? name : `Keys${name}`;
}

const quoted = (name: string): string => `'${name.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** What `update` accepts for a key: its declared targets, null where it may be empty, 'ret0' where it may return 0. */
export function accepted(key: KeyDef): (string | null)[] {
  const names: (string | null)[] = key.targets.map((t) => t.name);
  if (key.returns === 'void') names.push(null);
  if (key.returns === 'integer') names.push(RET0);
  return names;
}

/** The keys that a file of types speaks of: a key that this object merely calls is for its owner to describe. */
export function describable(keys: readonly KeyDef[]): readonly KeyDef[] {
  return keys.filter((key) => key.address !== null || key.targets.length > 0);
}

export function typesOf(keys: readonly KeyDef[], name: string): string {
  const rows = describable(keys).map((key) => {
    const literals = accepted(key).map((name) => (name === null ? 'null' : quoted(name)));
    // No declared target: whatever is asked for must be unchecked, and is typed as that by `update`.
    return `  readonly ${key.name}: ${literals.length > 0 ? literals.join(' | ') : 'never'};`;
  });
  return [
    '// Written by static-call types: write it again when the keys or their targets change.',
    '',
    '/** For open<...>: each key with what may become its target. null empties it, \'ret0\' makes it return 0. */',
    `export type ${name} = {`,
    ...rows,
    '};',
    '',
  ].join('\n');
}
