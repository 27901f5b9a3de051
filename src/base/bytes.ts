// Bytes as text, and what is looked for in them, without Node's Buffer: the page that inspects
// files in a browser has none.

/** One character a byte. (TextDecoder's latin1 is windows-1252.) */
export function latin1(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/** The bytes of text that has one character for each. */
export const bytesOf = (text: string): Uint8Array =>
  Uint8Array.from(text, (character) => character.charCodeAt(0));

/** The memory of a buffer, as bytes. */
export const memoryOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

const UTF8 = new TextDecoder('utf-8', { ignoreBOM: true });
/** UTF-8, with U+FFFD for what is none. Measured at twice the speed of Buffer's. */
export const utf8 = (bytes: Uint8Array): string => UTF8.decode(bytes);

/**
 * Where `wanted` begins, from an index on; -1 for nowhere. Its middle byte is looked for by the
 * engine, because in names of symbols the first one is an underscore and is everywhere.
 */
export function find(bytes: Uint8Array, wanted: Uint8Array, from: number = 0): number {
  const middle = wanted.length >> 1;
  const pivot = wanted[middle];
  if (pivot === undefined) return from <= bytes.length ? from : -1;
  for (
    let hit = bytes.indexOf(pivot, from + middle);
    hit >= 0;
    hit = bytes.indexOf(pivot, hit + 1)
  ) {
    const at = hit - middle;
    if (wanted.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return -1;
}
