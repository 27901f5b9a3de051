// What the files of the zoo state beside their rows.
import { expect, test } from 'vitest';
import { IDEAS, PROPOSALS } from '#zoo/index';

/** Ours or nobody's: the indirect call, the mistake, the kernel's table in a process, and what ships. */
const UNSIGNED = ['pointer', 'naive', 'int3-retire', 'auto', 'stop'];

test('every idea says who proposed it, when, and where that can be read', () => {
  for (const { proposed, rows } of IDEAS) {
    const [name] = new Set(rows.map((row) => row.name));
    expect(proposed.length === 0, name).toBe(UNSIGNED.includes(name!));
    for (const { by, on, url } of proposed) {
      expect(by, name).toMatch(/^[A-Z]/);
      expect(on, name).toMatch(/^20\d\d-\d\d-\d\d$/);
      expect(url, name).toMatch(
        /^https:\/\/(git\.kernel\.org\/linus\/[0-9a-f]{12}$|lore\.kernel\.org\/r\/\S+@\S+$|lkml\.iu\.edu\/)/,
      );
    }
  }
});

test('every idea states what was said against it, in whole sentences', () => {
  for (const { objections, rows } of IDEAS) {
    expect(objections.length, rows[0]!.name).toBeGreaterThan(0);
    for (const each of objections) expect(each).toMatch(/^[A-Za-z0-9].*\.$/);
  }
});

test('an idea has one name, and no two rows of an environment are called the same', () => {
  for (const { rows } of IDEAS) expect(new Set(rows.map(({ name }) => name)).size).toBe(1);
  const names = PROPOSALS.map((row) => `${row.environment} ${row.name}/${row.variant}`);
  expect(new Set(names).size).toBe(names.length);
  expect(names.length).toBe(IDEAS.flatMap(({ rows }) => rows).length);
});
