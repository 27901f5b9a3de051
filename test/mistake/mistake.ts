// A mistake put into the product, for one child process or one module of it, to see that a check
// notices it.

import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

export interface Mistake {
  /** In `dist`: `keys/bind.js`. */
  readonly file: string;
  /** Text that is there once, and what stands in its place. */
  readonly edits: readonly (readonly [from: string, to: string])[];
}

/** The environment of a process that makes it. */
export function making(mistake: Mistake): Record<string, string> {
  return {
    STATIC_CALL_MISTAKE: JSON.stringify(mistake),
    NODE_OPTIONS: `--import=${pathToFileURL('test/mistake/preload.mjs').href}`,
  };
}

/** A compiled file with a mistake, as a module of its own: what it imports is what ships. */
export async function mistaken<T>({ file, edits }: Mistake): Promise<T> {
  let source = readFileSync(`dist/${file}`, 'utf8');
  for (const [from, to] of edits) {
    if (source.split(from).length !== 2)
      throw new Error(`${file} has ${source.split(from).length - 1} places that read: ${from}`);
    source = source.replace(from, () => to);
  }
  const beside = pathToFileURL(`dist/${file}`);
  source = source.replace(
    /(from )'(\.[^']+)'/g,
    (_, before: string, path: string) => `${before}'${new URL(path, beside).href}'`,
  );
  return (await import(
    /* @vite-ignore */ `data:text/javascript,${encodeURIComponent(source)}`
  )) as T;
}
