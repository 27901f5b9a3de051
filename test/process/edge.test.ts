// Sites that begin and end their text, with nothing mapped beside it: whoever reads a byte too many
// dies of it.

import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { Folder, gcc, must } from '../build.js';
import { answer, child, type Ended } from './child.js';
import type { Mistake } from '../mistake/mistake.js';
import { more } from '../more.js';
import { WAYS } from './ways.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

function edge(options: object, mistake?: Mistake): Ended {
  const library = folder.file('edge.so');
  must('gcc', [
    '-shared',
    '-nostdlib',
    '-Wl,-z,max-page-size=0x200000',
    fileURLToPath(new URL('./programs/edge.s', import.meta.url)),
    '-o',
    library,
  ]);
  return child('edge.mjs', [JSON.stringify({ library, options })], mistake && { mistake });
}

describe.skipIf(!gcc)('the first and the last bytes of a text are sites', () => {
  it.each([WAYS[0], WAYS[2], ...more(WAYS[1], WAYS[3])])(
    '$protocol, $writer: they are read and written as any other',
    (way) => {
      expect(answer(edge(way))).toMatchObject({
        offsets: [0, 4091],
        alone: true,
        before: [11, 11],
        after: [12, 12, 0],
        closed: [11, 11],
      });
    },
  );

  it('a site that is read eight bytes at once is the end', () => {
    const eight: Mistake = {
      file: 'native/survey.js',
      edits: [
        ["['mov', 'r11d', mem32('rax')],", "['mov', 'r11', mem('rax')], ['mov', 'r11d', 'r11d'],"],
      ],
    };
    expect(edge(WAYS[0], eight).signal).toBe('SIGSEGV');
  });
});
