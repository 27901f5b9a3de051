// The zoo: each row says where it was read, the ladder finds where a row stands, and the change
// that is said to break it does. The short run searches a handful; the long one (zoo.long.ts) all.

import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ladder, zooPage } from '#check/index';
import { validateProtocol } from '#plan/validate';
import { PROPOSALS, SYSTEMS, findProposal } from '#zoo/index';
import { LONG } from '../more.js';

describe('the rows of the zoo', () => {
  it('are enough, each named once and no protocol’s name', () => {
    const names = SYSTEMS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.length).toBeGreaterThanOrEqual(47);
    for (const { name } of PROPOSALS) expect(names).not.toContain(name);
  });
  it('say where they were read, and could be files of a user', () => {
    for (const { name, read, environment, protocol, mended, broken } of SYSTEMS) {
      expect(read.length, name).toBeGreaterThan(0);
      for (const each of read) expect(each.licence, name).not.toBe('');
      expect(mended ?? broken, `${name} has a version that moves it`).not.toBeNull();
      for (const each of [protocol, mended?.protocol, broken?.protocol])
        if (each !== undefined) expect(validateProtocol(each), name).toBe(each);
      expect(findProposal(name, '', environment).environment, name).toBe(environment);
    }
  });
  it('have a card each on the page, which names what was read and what was not run', () => {
    const page = readFileSync('docs/zoo.md', 'utf8');
    for (const { name, title, read } of SYSTEMS) {
      expect(page).toContain(`### ${name}\n\n**${title}**`);
      for (const { commit } of read) expect(page).toContain(commit);
    }
    expect(page).toContain('was not run here');
  });
});

describe('proposals of the thread', () => {
  const proposed = SYSTEMS.filter(({ status }) => status === 'proposed');
  it('are eleven, each in a file of its own with a person, a day and a link', () => {
    expect(proposed.map(({ name }) => `${name}.ts`).sort()).toEqual(
      readdirSync('src/zoo/thread').filter((file) => !/^(index|trapped)\.ts$/.test(file)),
    );
    expect(proposed.length).toBeGreaterThanOrEqual(11);
    for (const { read } of proposed)
      for (const { repository, what } of read) {
        expect(repository).toMatch(
          /^https:\/\/(lkml\.iu\.edu|lore\.kernel\.org|www\.mail-archive)/,
        );
        expect(what).toMatch(/^[A-Z]\w+ [A-Z]\w+, \d+ [A-Z][a-z]+ 20\d\d/);
      }
  });
});

if (LONG)
  describe('the ladder', () => {
    it('finds where a handful stands, and that what breaks or mends them moves them', async () => {
      const { rows } = await ladder({
        only: ['beam', 'hotspot-replace', 'xray'],
      });
      const said = rows.map(({ system, standing, mended, broken }) => [
        system.name,
        standing.rung,
        mended?.rung ?? null,
        broken?.rung ?? null,
      ]);
      expect(said).toEqual([
        ['hotspot-replace', 'qword', null, 'stopped'],
        ['beam', 'byte', null, 'stopped'],
        ['xray', 'in-order', 'qword', 'stopped'],
      ]);
      expect(rows[0]!.standing).toMatchObject({ places: 8, needed: 8, stops: false });
      expect(rows[2]!.standing.failure).toMatchObject({ property: 'torn', below: 'line' });
      expect(zooPage({ rows, searches: 1, states: 1 })).toContain('coherent fetch in order');
    }, 300_000);
  });
