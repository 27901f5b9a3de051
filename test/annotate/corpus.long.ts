// Every module of a distributed kernel: its table taken out, made again, and held against objtool's
// and against its own.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { beforeEach, expect, test } from 'vitest';
import { readElf } from '#elf/read';
import type { ElfObject } from '#elf/object';
import { annotate } from '#sites/annotate';
import { decodeSites, findSites, sitesSections } from '#sites/find';
import { SITE_TAIL, type Site } from '#sites/site';
import { Folder, must } from '../build.js';
import { corpus, listed, missing } from '../corpus.js';
import { unchanged } from './layout.js';
import { objtool, tablesOf } from './referee.js';

const inputs = corpus();
beforeEach(({ skip }) => skip(!inputs, missing));

const lines = (object: ElfObject, sites: readonly Site[]): string[] =>
  sites.map((s) => `${object.sections[s.section]!.name}+${s.at} ${s.keySymbol} ${s.flags}`);
/**
 * objtool's rule: jumps of the whole file, then calls; each in the order of sections and offsets.
 */
const byRule = (sites: readonly Site[]): Site[] =>
  sites.toSorted(
    (a, b) => (b.flags & SITE_TAIL) - (a.flags & SITE_TAIL) || a.section - b.section || a.at - b.at,
  );

/** objtool complains of these for a reason of another kind, and writes no table. */
const REFUSED = /kvm-(intel|amd)\.ko$/;

test('of 1,121 modules 216 have sites, and each table is made again as objtool makes it', () => {
  using folder = new Folder();
  const known = listed();
  const tally = {
    modules: 0,
    untouched: 0,
    annotated: 0,
    likeObjtool: 0,
    likeRule: 0,
    likeList: 0,
    sites: 0,
    tail: 0,
    accepted: 0,
  };
  for (const path of inputs!.modules) {
    tally.modules++;
    const original = readFileSync(path);
    const own = readElf(original);
    if (sitesSections(own).length === 0) {
      const { outcome, bytes } = annotate(own, { module: true });
      expect([path, outcome, bytes]).toEqual([path, 'no-sites', null]);
      tally.untouched++;
      continue;
    }
    folder.write('in.ko', original);
    must('objcopy', [
      '-R',
      '.static_call_sites',
      '-R',
      '.rela.static_call_sites',
      folder.file('in.ko'),
      folder.file('bare.ko'),
    ]);
    const bare = folder.read('bare.ko');
    const object = readElf(bare);
    const { bytes, sites } = annotate(object, { module: true });
    tally.annotated++;
    tally.sites += sites.length;
    tally.tail += sites.filter((s) => s.flags & SITE_TAIL).length;
    // The module's own table went through the linker, which may have reordered it; the rule says
    // how objtool would.
    expect(lines(object, sites), path).toEqual(lines(own, byRule(findSites(own))));
    tally.likeRule++;
    const row = known.get(inputs!.nameOf(path));
    if (row && row.sha256 === createHash('sha256').update(original).digest('hex')) {
      expect(
        createHash('sha256')
          .update(
            lines(object, sites)
              .map((l) => `${l}\n`)
              .join(''),
          )
          .digest('hex')
          .slice(0, 16),
        path,
      ).toBe(row.order);
      tally.likeList++;
    }
    if (!REFUSED.test(path)) {
      const theirs = objtool(inputs!.objtool, bare, ['--link', '--module']);
      expect([path, theirs.complaint]).toEqual([path, '']);
      expect(tablesOf(bytes!), path).toEqual(tablesOf(theirs.bytes));
      tally.likeObjtool++;
    }
    expect(unchanged(bare, bytes!), path).toEqual([]);
    folder.write('out.ko', bytes!);
    must('ld', ['-r', '-o', folder.file('again.o'), folder.file('out.ko')]);
    const read = spawnSync('readelf', ['-aW', folder.file('out.ko')], {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    });
    expect([path, read.status, read.stderr]).toEqual([path, 0, '']);
    tally.accepted++;
  }
  console.log(JSON.stringify(tally));
  expect(tally).toMatchObject({
    likeRule: tally.annotated,
    likeObjtool: tally.annotated - 2,
    accepted: tally.annotated,
    untouched: tally.modules - tally.annotated,
  });
  if (tally.likeList === known.size)
    expect(tally).toMatchObject({
      modules: 1121,
      annotated: 216,
      untouched: 905,
      sites: 7140,
      tail: 43,
    });
});

test('reading the tables and decoding the instructions give the same sites', () => {
  for (const path of inputs!.modules) {
    const object = readElf(readFileSync(path));
    expect(lines(object, decodeSites(object)).sort(), path).toEqual(
      lines(object, findSites(object)).sort(),
    );
  }
});
