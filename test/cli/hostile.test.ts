// Names that a stranger chose, through the command line: what reaches the terminal is plain.

import { afterAll, describe, expect, it } from 'vitest';
import { decodeToken, encodeToken } from '#check/explain/token';
import { Folder } from '../build.js';
import { malformed } from '../base/xml.js';
import { elf, FLAGS } from '../elf/builder.mjs';
import { line } from './line.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

const ESCAPES = '\x1b[2J\x1b]0;owned\x07';
const FORGED = '\nnet.ko:.text+0x0  -';
const HARMFUL = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;
const plain = ({ stdout, stderr }: { stdout: string; stderr: string }): void => {
  for (const said of [...stdout.split('\n'), ...stderr.split('\n')])
    expect(said).not.toMatch(HARMFUL);
};

/** One call; function, key and section are named as the caller wants. */
const object = (function_: string, key: string, section: string) =>
  elf({
    sections: [
      {
        name: section,
        flags: FLAGS.alloc | FLAGS.exec,
        align: 16,
        data: Uint8Array.of(0xe8, 0, 0, 0, 0, 0xc3),
        relocations: [{ at: 1, type: 4, symbol: 2, addend: -4 }],
      },
    ],
    symbols: [
      { name: function_, bind: 1, type: 2, section: 1, size: 6 },
      { name: `__SCT__${key}`, bind: 1 },
    ],
  });

describe('a hostile name', () => {
  const hostile = folder.write(
    `file${ESCAPES}.o`,
    object(`pixel${ESCAPES}${FORGED}`, `key${ESCAPES}${FORGED}`, `.text${ESCAPES}${FORGED}`),
  );

  it.each(['site', 'key', 'function', 'section', 'file'])(
    'of a function, key, section or file reaches no terminal in inspect --by %s',
    async (by) => {
      const said = await line(['inspect', '--by', by, hostile]);
      expect(said.status).toBe(0);
      plain(said);
      const listing = said.stdout.slice(said.stdout.indexOf('\n\n') + 2);
      expect(listing.trimEnd().split('\n').length).toBe(2);
      expect(said.stdout).toContain('\\x1b[2J');
    },
  );

  it('is in JSON as it is', async () => {
    const { stdout } = await line(['inspect', '--json', hostile]);
    const { files } = JSON.parse(stdout) as { files: { sites: { key: string }[] }[] };
    expect(files[0]?.sites[0]?.key).toBe(`key${ESCAPES}${FORGED}`);
  });

  it('of a key that came or went is plain in inspect --diff', async () => {
    const other = folder.write('other.o', object('pixel', 'key', '.text'));
    for (const pair of [
      [hostile, other],
      [other, hostile],
    ]) {
      const said = await line(['inspect', '--diff', ...pair]);
      expect(said.status).toBe(1);
      plain(said);
    }
  });

  it('of a file is plain in what annotate answers and refuses', async () => {
    for (const words of [[hostile], [hostile], [folder.write(`no${ESCAPES}elf`, 'text')]]) {
      const said = await line(['annotate', ...words]);
      plain(said);
      expect(said.stdout + said.stderr).toContain('\\x1b[2J');
    }
  });

  it.each(['inspect', 'types', 'annotate', 'check', `${ESCAPES}`])(
    'of a file that is not there is plain in what %j says of it',
    async (command) => {
      const said = await line([command, folder.file(`gone${ESCAPES}.mjs`)]);
      expect(said.status).not.toBe(0);
      expect(said.stderr).toContain('\\x1b[2J');
      plain(said);
    },
  );

  it('of a protocol, its reasons and its file are plain in the verdict, the picture and the SVG', async () => {
    const protocol = {
      name: `mine${ESCAPES}`,
      about: ESCAPES,
      accepts: { bytes: 'whole', within: null },
      handler: null,
      steps: [
        { do: 'publish', why: `first${ESCAPES}${FORGED}` },
        { do: 'store', part: 'whole', bytes: 'new', as: 'one', why: `<b>&\ud800${ESCAPES}` },
      ],
    };
    const file = folder.write('mine.mjs', `export default ${JSON.stringify(protocol)};`);
    const said = await line(['check', file, '--svg', folder.file('mine.svg')]);
    plain(said);
    expect(malformed(folder.read('mine.svg').toString())).toBe(null);
    const path = /--path (\S+)/.exec(said.stdout)?.[1];
    if (path !== undefined) plain(await line(['check', '--path', path]));
  });

  it('in a token that somebody pasted is plain, in the picture and in the SVG', async () => {
    const { stdout } = await line(['check', 'naive', '--updates', '1', '--property', 'torn']);
    const path = /--path (\S+)/.exec(stdout)?.[1] ?? '';
    const forged = encodeToken({
      ...decodeToken(path),
      property: `x${ESCAPES}`,
    });
    const said = await line(['check', '--path', forged, '--svg', folder.file('token.svg')]);
    plain(said);
    expect(malformed(folder.read('token.svg').toString())).toBe(null);
  });
});
