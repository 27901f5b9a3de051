// Bytes as chips: a colour and a letter say which instruction each belongs to.

import type { Byte, Version, World } from '../snapshot.js';

const two = (value: number): string => value.toString(16).padStart(2, '0');

/** The class of a world, and the letter that says the same without colour. */
export function styleOf(
  world: World | 'mixture',
  versions: readonly Version[],
): { readonly name: string; readonly letter: string; readonly words: string } {
  switch (world) {
    case 'trap':
      return { name: 'trap', letter: 'T', words: 'the trap' };
    case 'same':
      return { name: 'same', letter: '', words: 'the same in every version' };
    case 'other':
      return { name: 'mix', letter: '?', words: 'of no version' };
    case 'mixture':
      return { name: 'mix', letter: '✕', words: 'a mixture' };
    default: {
      const version = versions[world]?.name ?? '';
      const letter = { null: '∅', ret0: '0' }[version] ?? version;
      const age = ['old', 'new', 'newest'][world] ?? 'new';
      return { name: `v${world}`, letter, words: `${age}, ${version}` };
    }
  }
}

export function Chip({
  byte: { value, world },
  versions,
  changed = false,
}: {
  readonly byte: Byte;
  readonly versions: readonly Version[];
  readonly changed?: boolean;
}) {
  const { name, letter, words } = styleOf(world, versions);
  return (
    <span class={`chip ${name}${changed ? ' changed' : ''}`} title={words}>
      {two(value)}
      <i aria-hidden="true">{letter}</i>
      <span class="sr"> {words}</span>
    </span>
  );
}

export function Bytes({
  bytes,
  versions,
  changed = [],
}: {
  readonly bytes: readonly Byte[];
  readonly versions: readonly Version[];
  readonly changed?: readonly boolean[];
}) {
  return (
    <span class="bytes">
      {bytes.map((byte, i) => (
        <Chip key={i} byte={byte} versions={versions} changed={changed[i] === true} />
      ))}
    </span>
  );
}
