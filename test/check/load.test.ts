import { loadProtocol, namesFile } from '#check/ask/load';
import { afterAll, describe, expect, it } from 'vitest';
import { Folder } from '../build.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

const PROTOCOL = `{ name: 'mine', about: 'one store', accepts: { bytes: 'whole', within: 'line' }, handler: null,
  steps: [{ do: 'store', part: 'whole', bytes: 'new', as: 'one', why: 'to see what happens' }] }`;

describe('a protocol in a file of its own', () => {
  it('is the default export, or the one named protocol', async () => {
    expect((await loadProtocol(folder.write('a.mjs', `export default ${PROTOCOL};`))).name).toBe(
      'mine',
    );
    expect(
      (await loadProtocol(folder.write('b.mjs', `export const protocol = ${PROTOCOL};`))).name,
    ).toBe('mine');
  });

  it.each([
    ['c.ts', 'export default {}', 'bad-protocol', 'an .mjs file'],
    ['d.js', 'export default {}', 'bad-protocol', ''],
    ['e.mjs', 'export const other = 1;', 'bad-protocol', 'export default'],
    ['f.mjs', 'export default { nonsense', 'bad-protocol', ''],
    ['g.mjs', `export default { ...${PROTOCOL}, steps: 1 };`, 'bad-protocol', ''],
  ])('%s is refused', async (name, content, code, hint) => {
    await expect(loadProtocol(folder.write(name, content))).rejects.toMatchObject({
      code,
      hint: expect.stringContaining(hint) as string,
    });
  });

  it('that is not there is said to be missing', async () => {
    await expect(loadProtocol(folder.file('missing.mjs'))).rejects.toMatchObject({
      code: 'no-such-file',
    });
  });

  it('is told from the name of a known one by its form', () => {
    expect(
      ['int3', 'int3-gap', 'int3-gap/no-gap', './mine.mjs', 'mine.mjs', 'mine.ts', 'mine.json'].map(
        namesFile,
      ),
    ).toEqual([false, false, false, true, true, true, true]);
    expect(['/etc/passwd', './mine', '../mine'].map(namesFile)).toEqual([true, true, true]);
  });
});
