// That a page which cannot be followed is noticed: pages.long.ts follows those that there are.

import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { NEEDS, unnamed } from './pages.js';
import { alike, commandsOf, Reader } from './reader.js';
import { blocks } from './readme.js';

const FILE = '```c answer.txt\n42\n```\n';
const READ = '```sh read\ncat answer.txt\n```\n';

describe('a reader', () => {
  it('follows a page in its order, from an empty folder, without root', () => {
    using reader = new Reader();
    const told = reader.follow(`${'```sh\nls\nid -u\n```\n'}${FILE}${READ}`);
    expect(told.map(({ stdout }) => stdout)).toEqual([
      '',
      expect.not.stringMatching(/^0$/m),
      '42\n',
    ]);
  });

  it.each([
    ['a command that is not there', '```sh\nstatic-cell doctor\n```\n', /^static-cell doctor: 127/],
    ['a command that is refused', '```sh\nstatic-call types gone.so\n```\n', /^static-call types/],
    ['a block before the file that it reads', `${READ}${FILE}`, /^cat answer\.txt: 1/],
    ['a command that needs root', '```sh\ntouch /etc/static-call\n```\n', /^touch .*: 1/],
    [
      'an answer that is refused',
      '```text\n$ static-call types gone.so\n```\n',
      /^static-call types/,
    ],
  ])('notices %s', (_what, page, complaint) => {
    using reader = new Reader();
    expect(() => reader.follow(page)).toThrow(complaint);
  });

  it('compares what a page shows with what is printed, but for numbers', () => {
    using reader = new Reader();
    const [told] = reader.follow('```text\n$ echo 7 sites, 30 us\n8 sites, 21 us\n```\n');
    expect(alike(told!.stdout)).toBe(alike(told!.shown!));
    expect(alike('8 sites')).not.toBe(alike('8 keys'));
  });
});

describe('what a page needs', () => {
  const pages = ['README.md', ...readdirSync('docs').map((name) => `docs/${name}`)]
    .filter((path) => path.endsWith('.md'))
    .map((path) => [path, readFileSync(path, 'utf8')] as const);

  it('stands beside the command', () => {
    const bad = '```sh\napt install gcc\n```\n';
    expect(unnamed(new Map([['docs/a.md', bad]]))).toEqual([
      'docs/a.md: apt install gcc needs root, to install a program, and the page does not say so',
    ]);
    expect(unnamed(new Map(pages))).toEqual([]);
  });

  it('is in the table only if a page needs it', () => {
    const commands = pages
      .flatMap(([, text]) => blocks(text).flatMap(commandsOf))
      .map(({ command }) => command);
    const idle = NEEDS.filter((need) => !commands.some((each) => need.command.test(each)));
    expect(idle).toEqual([]);
  });
});
