// What a process patches is explored: no form of a site is left out of the shapes of the checker.
import { expect, test } from 'vitest';
import { KINDS } from '#plan/draw';
import { TRANSFORM, type TargetKind } from '#plan/transform';
import { SHAPES, type Shape } from '#machine/sim/options';

const TARGETS = ['function', 'null', 'ret0'] as const satisfies readonly TargetKind[];

test('every length of every kind of site is explored, for functions, nothing and "return 0"', () => {
  const explored = new Set(
    Object.values<Shape>(SHAPES).map(({ kind, length, sequence: [first] }) => {
      const target = first === 'null' || first === 'ret0' ? first : 'function';
      return `${kind} of ${length} bytes, ${target}`;
    }),
  );
  const patched = KINDS.flatMap((kind) =>
    TARGETS.flatMap((target) =>
      Object.keys(TRANSFORM[kind][target].forms).map(
        (length) => `${kind} of ${length} bytes, ${target}`,
      ),
    ),
  );
  expect([...explored].sort()).toEqual(patched.sort());
});
