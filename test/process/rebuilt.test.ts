import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc, must } from '../build.js';
import { answer, child } from './child.js';
import { INCLUDE } from './programs.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

const source = (constant: number): string => `#include <static_call.h>
int first(int a) { return a; }
int other(int a) { return a + ${constant}; }
DEFINE_STATIC_CALL(work, first);
STATIC_CALL_TARGET(work, other);
int use(int a) { return static_call(work)(a) * 2; }
`;

describe.skipIf(!gcc)('a library whose file was replaced after it was loaded', () => {
  let got: Record<string, unknown>;
  beforeAll(() => {
    const build = (name: string, constant: number, ...flags: string[]): string => {
      const path = folder.write(`${name}.c`, source(constant));
      must('gcc', [
        '-O2',
        '-fPIC',
        '-shared',
        `-I${INCLUDE}`,
        '-Wl,--build-id=none',
        ...flags,
        path,
        '-o',
        folder.file(name),
      ]);
      return folder.file(name);
    };
    got = answer(
      child('rebuilt.mjs', [
        JSON.stringify({
          one: build('one', 10),
          two: build('two', 20),
          joined: build('joined', 10, '-Wl,-z,noseparate-code'),
        }),
      ]),
    );
  });
  const refused = /^not-loaded: the file differs at 0x\w+ .*\(it was rebuilt while it was loaded/;

  it.each([
    ['by a build that differs in one constant', 'replaced'],
    ['while it was open', 'replacedWhileOpen'],
    ['and is named by a symbolic link', 'symlink'],
    ['after it was moved away', 'moved'],
  ])('%s is refused', (_, name) => expect(got[name]).toMatch(refused));

  it('and was loaded under another spelling of its name is refused, for a second copy would be patched', () =>
    expect(got['spelledOtherwise']).toMatch(/^not-loaded: another file of that name is in memory/));
  it('is opened where the name given is still that of the file in memory', () => {
    expect(got['hardLinkOfTheOld']).toBe(22);
    expect(got['movedAway']).toBe(22);
  });
  it('by the same bytes is opened, although its sites were patched before', () =>
    expect(got['sameAgain']).toBe(22));
  it('that was not replaced is opened twice, also where headers and code share a page', () =>
    expect(got['openTwice']).toBe(22));
});
