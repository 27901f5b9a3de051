// The form of the sources: how long lines, functions and classes may be, and what needs a reason.
// scripts/measure.mjs prints the same figures.

import { describe, expect, it } from 'vitest';
import { measureFile, measureSources } from '../scripts/measure.mjs';

interface Place {
  readonly path: string;
  readonly line: number;
}
interface Piece extends Place {
  readonly name: string;
  readonly lines: number;
}
interface Measured {
  readonly lines: number;
  readonly over100: number;
  readonly over120: readonly Place[];
  readonly functions: readonly Piece[];
  readonly classes: readonly Piece[];
  readonly nested: readonly Place[];
  readonly assertions: number;
  readonly casts: number;
  readonly any: number;
}

const sources = measureSources() as readonly Measured[];
const sum = (of: (file: Measured) => number): number =>
  sources.reduce((total, file) => total + of(file), 0);
const tooLong = (pieces: readonly Piece[], most: number): string[] =>
  pieces.filter(({ lines }) => lines > most).map(({ path, name }) => `${path}: ${name}`);

/** Functions of more than seventy lines, each with the reason. */
const LONG_FUNCTIONS: Readonly<Record<string, string>> = {};
/** Files whose conditionals may be nested, how many, and why. */
const NESTED: Readonly<Record<string, readonly [count: number, why: string]>> = {};

describe('a source', () => {
  it('is measured as it should be', () => {
    const bad = measureFile(
      'src/bad.ts',
      `class A {\n  f(x: number[]): string {\n    return (x[0]! as unknown) === 1 ? 'a' : x[1] ? 'b' : 'c';\n  }\n}\n// ${'x'.repeat(120)}\n`,
    ) as Measured;
    expect(bad).toMatchObject({
      lines: 6,
      over100: 1,
      over120: [{ line: 6 }],
      functions: [{ name: 'f', lines: 3 }],
      classes: [{ name: 'A', lines: 5 }],
      nested: [{ line: 3 }],
      assertions: 1,
      casts: 1,
    });
    expect(tooLong(bad.functions, 2)).toEqual(['src/bad.ts: f']);
  });

  it('has no line over 120 columns, and one in two hundred over 100 at most', () => {
    expect(sources.flatMap(({ over120 }) => over120)).toEqual([]);
    expect(sum(({ over100 }) => over100) / sum(({ lines }) => lines)).toBeLessThan(0.005);
  });

  it('has functions of at most 70 lines, unless a reason is given here', () => {
    const long = tooLong(
      sources.flatMap(({ functions }) => functions),
      70,
    );
    expect(long.sort()).toEqual(Object.keys(LONG_FUNCTIONS).sort());
  });

  it('has classes of at most 350 lines', () => {
    expect(
      tooLong(
        sources.flatMap(({ classes }) => classes),
        350,
      ),
    ).toEqual([]);
  });

  it('nests conditionals only where a reason is given here', () => {
    const found = new Map<string, number>();
    for (const { path } of sources.flatMap(({ nested }) => nested))
      found.set(path, (found.get(path) ?? 0) + 1);
    expect(Object.fromEntries(found)).toEqual(
      Object.fromEntries(Object.entries(NESTED).map(([path, [count]]) => [path, count])),
    );
  });

  // It did 33 times in a thousand lines: 293 assertions and 419 casts in 21,694.
  it('overrules the compiler at most eight times in a thousand lines', () => {
    const overruled = sum(({ assertions }) => assertions) + sum(({ casts }) => casts);
    expect((1000 * overruled) / sum(({ lines }) => lines)).toBeLessThan(8);
    expect(sum(({ any }) => any)).toBe(0);
  });
});
