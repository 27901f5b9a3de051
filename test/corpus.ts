// The real inputs that scripts/corpus brings, where they are. Tests that need them skip and say so.

import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join, relative } from 'node:path';

const folder = process.env['STATIC_CALL_CORPUS'] ?? 'corpus';

/** For the name of a skipped test. */
export const missing = 'skipped: scripts/corpus has not been run';

export interface Corpus {
  /** Absolute paths of all modules, sorted. */
  readonly modules: readonly string[];
  /** The name of a module as scripts/corpus.tsv lists it. */
  nameOf(path: string): string;
  readonly images: readonly string[];
  readonly objtool: string;
}

export function corpus(): Corpus | null {
  if (!existsSync(join(folder, 'kernel'))) return null;
  const root = realpathSync(join(folder, 'kernel'));
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((f) => f.isFile())
    .map((f) => join(f.parentPath, f.name));
  return {
    modules: files.filter((path) => path.endsWith('.ko')).sort(),
    nameOf: (path) => relative(join(root, 'lib', 'modules'), path).replace(/^[^/]+\//, ''),
    images: files.filter((path) => /\/vmlinuz-[^/]*$/.test(path)),
    objtool: realpathSync(join(folder, 'objtool')),
  };
}

export interface Listed {
  readonly sha256: string;
  readonly sites: number;
  readonly tail: number;
  readonly order: string;
}

/** What scripts/corpus.tsv says of the modules that have sites, by name. */
export function listed(): Map<string, Listed> {
  const rows = readFileSync('scripts/corpus.tsv', 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    rows.map((line) => {
      const [sha256, sites, tail, order, name] = line.split('\t');
      return [name!, { sha256: sha256!, sites: Number(sites), tail: Number(tail), order: order! }];
    }),
  );
}
