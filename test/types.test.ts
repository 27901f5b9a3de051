// The public surface, held still by the compiler: test/types/surface.ts compiles as it stands, and every line in it
// that must not compile is an error that it expects.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const tsc = (folder: string): string => spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', folder], { encoding: 'utf8' }).stdout;

/** The program with one change, compiled beside the original, for it names the package by its own name. */
function changed(change: (surface: string, keys: string) => readonly [surface: string, keys: string]): string {
  const folder = mkdtempSync('test/types-');
  try {
    const [surface, keys] = change(readFileSync('test/types/surface.ts', 'utf8'), readFileSync('test/types/filters.keys.ts', 'utf8'));
    writeFileSync(join(folder, 'surface.ts'), surface);
    writeFileSync(join(folder, 'filters.keys.ts'), keys);
    writeFileSync(join(folder, 'tsconfig.json'), readFileSync('test/types/tsconfig.json', 'utf8'));
    return tsc(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('the types of the surface', () => {
  it('accept what is right and refuse what is wrong', () => {
    expect(readFileSync('test/types/surface.ts', 'utf8').match(/@ts-expect-error/g)!.length).toBeGreaterThan(15);
    expect(tsc('test/types')).toBe('');
  });

  it('would be seen to change', () => {
    // A key that becomes empty, a target that goes, and a type that is not what is said.
    const told = changed((surface, keys) => [`${surface}\nsame<typeof app.path, number>();\n`, keys.replace(`'blend_avx2' | 'blend_scalar'`, `'blend_scalar' | null`)]);
    expect(told).toMatch(/TS2578: Unused '@ts-expect-error' directive/);
    expect(told).toMatch(/TS2322: Type '"blend_avx2"' is not assignable/);
    expect(told).toMatch(/these types differ/);
  });
});
