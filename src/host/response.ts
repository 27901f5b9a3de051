// Response files: a word `@file` of a compiler's command stands for the words in that file. Read as
// libiberty's expandargv reads them up to GCC 14, and as clang does: a backslash takes the next
// character as it is, inside quotes too.

import { readFileSync, statSync } from 'node:fs';

/** Where libiberty gives up: a file may name itself. */
const FILES_MAX = 2000;

/**
 * A file that is not there or cannot be read stays a word, as the compilers have it. So does a
 * pipe: gcc seeks in the file, and what is read here would be gone for clang.
 */
export function expandResponses(words: readonly string[]): readonly string[] {
  const out: string[] = [];
  const ahead = words.toReversed();
  let files = 0;
  for (let word = ahead.pop(); word !== undefined; word = ahead.pop()) {
    const text = word.startsWith('@') && files < FILES_MAX ? textOf(word.slice(1)) : null;
    if (text === null) out.push(word);
    else {
      files++;
      ahead.push(...splitWords(text).toReversed());
    }
  }
  return out;
}

function textOf(path: string): string | null {
  try {
    return statSync(path).isFile() ? readFileSync(path, 'utf8') : null;
  } catch {
    return null;
  }
}

/** libiberty's buildargv. */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  let quote = '';
  let escaped = false;
  for (const c of text) {
    const space = quote === '' && !escaped && /[ \t\n\v\f\r]/.test(c);
    if (space) {
      if (word !== null) words.push(word);
      word = null;
      continue;
    }
    word ??= '';
    if (escaped) {
      word += c;
      escaped = false;
    } else if (c === '\\') escaped = true;
    else if (c === quote) quote = '';
    else if (quote === '' && (c === '"' || c === "'")) quote = c;
    else word += c;
  }
  if (word !== null) words.push(word);
  return words;
}
