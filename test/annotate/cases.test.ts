import { beforeEach, describe, expect, test } from 'vitest';
import { isFault } from '#base/fault';
import { readElf } from '#elf/read';
import { annotate } from '#sites/annotate';
import { assemble, gcc } from '../build.js';
import { corpus, missing } from '../corpus.js';
import { CASES, type Case } from './cases.js';
import { objtool, sitesOf, tablesOf } from './referee.js';

const referee = corpus()?.objtool;
const assembled = new Map<string, Buffer>();
function input({ name, source }: Case): Buffer {
  let bytes = assembled.get(name);
  if (!bytes) assembled.set(name, (bytes = assemble(source)));
  return bytes;
}

beforeEach(({ skip }) => skip(!gcc, 'gcc is missing'));

describe('annotate finds, and puts in this order', () => {
  test.each(CASES)('$name', (one) => {
    const object = readElf(input(one));
    if (one.fault) {
      try {
        annotate(object, one);
        expect.unreachable();
      } catch (error) {
        expect(isFault(error) && error.code).toBe(one.fault);
      }
      return;
    }
    const { outcome, bytes } = annotate(object, one);
    expect(outcome).toBe(one.sites.length > 0 ? 'written' : 'no-sites');
    expect(bytes ? sitesOf(tablesOf(bytes)) : []).toEqual(one.sites);
  });
});

describe('objtool agrees', () => {
  beforeEach(({ skip }) => skip(!referee, missing));
  test.each(CASES.filter((one) => !one.objtool))('$name', (one) => {
    const { bytes, complaint } = objtool(referee!, input(one), one.module ? ['--module'] : []);
    expect(complaint).toBe('');
    const ours = annotate(readElf(input(one)), one).bytes;
    expect(ours ? tablesOf(ours) : []).toEqual(tablesOf(bytes));
  });
  // A difference that is no longer one should be told of too.
  test.each(CASES.filter((one) => one.objtool))('or: $objtool ($name)', (one) => {
    const { bytes, complaint } = objtool(referee!, input(one), one.module ? ['--module'] : []);
    if (one.objtool === 'refuses the file' || one.objtool === 'writes half a table')
      expect(complaint).not.toBe('');
    expect(sitesOf(tablesOf(bytes).filter((t) => t.rows.length % 2 === 0))).not.toEqual(
      one.sites.length ? one.sites : ['anything'],
    );
  });
});
