// docs/kernel-interface.md against the tests that it names, and against the list of what a reader
// of the kernel's header looks for.

import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const page = readFileSync('docs/kernel-interface.md', 'utf8');

/** Names of the kernel's interface, from its header and its core. */
const INTERFACE = [
  'DECLARE_STATIC_CALL',
  'DEFINE_STATIC_CALL',
  'DEFINE_STATIC_CALL_NULL',
  'DEFINE_STATIC_CALL_RET0',
  'static_call',
  'static_call_cond',
  'static_call_mod',
  'static_call_query',
  'static_call_update',
  '__static_call_update',
  'EXPORT_STATIC_CALL',
  'EXPORT_STATIC_CALL_TRAMP',
  'EXPORT_STATIC_CALL_GPL',
  'EXPORT_STATIC_CALL_TRAMP_GPL',
  'STATIC_CALL_KEY',
  'STATIC_CALL_TRAMP',
  '__static_call_return0',
  '__SCK__name',
  '__SCT__name',
  '.static_call.text',
  '.static_call_sites',
  '.static_call_tramp_key',
  '.discard.addressable',
  'STATIC_CALL_SITE_TAIL',
  'STATIC_CALL_SITE_INIT',
  'arch_static_call_transform',
  'static_call_init',
  'static_call_force_reinit',
  'static_call_update_early',
  'static_call_text_reserved',
  '__static_call_fixup',
  'e8 rel32',
  'e9 rel32',
  '0f 8x rel32',
  '0f 1f 44 00 00',
  '2e 2e 2e 31 c0',
  'c3 cc cc cc cc',
  'c3 cc 90 90 90',
  '0f b9 cc',
  '53 43 54',
];

interface Row {
  readonly line: string;
  /**
   * Cells that must name a test each: the last one, and where a mistake is told the one before,
   * too.
   */
  readonly tests: readonly string[];
}

const MISTAKES = '| mistake | test | with the mistake |';

function rowsOf(text: string): Row[] {
  let mistakes = false;
  return text.split('\n').flatMap((line) => {
    if (!line.startsWith('| ')) mistakes = false;
    else if (line === MISTAKES) mistakes = true;
    else if (!/^\| (---|Linux \||site \|)/.test(line))
      return [
        {
          line,
          tests: line
            .split('|')
            .slice(mistakes ? -3 : -2, -1)
            .map((cell) => cell.trim()),
        },
      ];
    return [];
  });
}

/**
 * What is wrong with the rows: no test, no such file, no such test in it; a mistake that no test
 * makes.
 */
function wrong(text: string): string[] {
  return rowsOf(text).flatMap(({ line, tests }) => [
    ...(tests.length === 2 && tests[0] === tests[1] ? [`not made: ${line}`] : []),
    ...tests.flatMap((test) => {
      const named = /^`(test\/[\w/.-]+)`: (.+)$/.exec(test);
      if (!named) return [`no test: ${line}`];
      const [, path, title] = named as unknown as [string, string, string];
      if (!existsSync(path)) return [`no file ${path}`];
      return readFileSync(path, 'utf8').replaceAll("\\'", "'").includes(title)
        ? []
        : [`no test "${title}" in ${path}`];
    }),
  ]);
}

describe("the page on the kernel's interface", () => {
  it('names a test in every row', () => {
    expect(rowsOf(page).length).toBeGreaterThan(45);
    expect(wrong(page)).toEqual([]);
  });
  it('names for every mistake the test that makes it', () => {
    const rows = rowsOf(page).filter(({ tests }) => tests.length === 2);
    expect(rows.length).toBeGreaterThan(20);
    const good = '`test/cside/interface.test.ts`: would be seen to lie';
    const table = (cells: string): string => `${MISTAKES}\n| --- | --- | --- |\n| a | ${cells} |`;
    expect(wrong(table(`${good} | \`test/cside/interface.test.ts\`: leaves nothing out`))).toEqual(
      [],
    );
    expect(wrong(table(good))).toEqual([`no test: | a | ${good} |`]);
    expect(wrong(table(`${good} |  `))).toEqual([`no test: | a | ${good} |   |`]);
    expect(wrong(table(`${good} | ${good}`))).toEqual([`not made: | a | ${good} | ${good} |`]);
  });
  it('leaves nothing out', () => {
    expect(
      INTERFACE.filter(
        (name) =>
          !new RegExp(`\`${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(\`|\\(|,)`).test(page),
      ),
    ).toEqual([]);
  });
  it('would be seen to lie', () => {
    expect(
      wrong(
        '| a | b | |\n| a | `test/no.test.ts`: x |\n| a | `test/cside/interface.test.ts`: no such ' +
          'title at all |',
      ),
    ).toEqual([
      'no test: | a | b | |',
      'no file test/no.test.ts',
      `no test "no such ${'title'} at all" in test/cside/interface.test.ts`,
    ]);
  });
});
