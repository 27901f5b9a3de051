// What a process patches is explored: no form of a site is left out of the shapes of the checker.
import { expect, test } from 'vitest';
import { BRANCHES, TRANSFORM } from '#plan/transform';
import { type Shape } from '#machine/sim/options';
import { SHAPES } from '#machine/sim/settings';

test('every length of every kind of site is explored, for functions, nothing and "return 0"', () => {
  const explored = new Set(
    Object.values<Shape>(SHAPES).map(({ kind, length, sequence: [first] }) => {
      const target = first === 'null' || first === 'ret0' ? first : 'function';
      return `${kind} of ${length} bytes, ${target}`;
    }),
  );
  const patched = Object.entries(TRANSFORM).flatMap(([kind, row]) =>
    Object.entries(row).flatMap(([target, { forms }]) =>
      Object.keys(forms).map((length) => `${kind} of ${length} bytes, ${target}`),
    ),
  );
  // A branch is explored both ways in one sequence, from not taken on.
  const switched = Object.entries(BRANCHES).flatMap(([kind, { on }]) =>
    Object.keys(on.forms).map((length) => `${kind} of ${length} bytes, null`),
  );
  expect([...explored].sort()).toEqual([...patched, ...switched].sort());
});
