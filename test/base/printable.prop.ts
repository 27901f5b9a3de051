import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Fault } from '#base/fault';
import { clipped, columnsOf, markup, printable } from '#base/printable';
import { page } from '#bench/html';
import type { BenchResult } from '#bench/result';
import { drawSvg } from '#check/explain/svg';
import { draw, story } from '#check/explain/timeline';
import type { Trace } from '#check/explain/trace';
import type { TraceStep } from '#check/result';
import { progress } from '#cli/progress';
import { report } from '#cli/report';
import { table } from '#cli/table';
import { malformed } from './xml.js';

/** What hostile names are made of, much more often than chance would have it. */
const hostile = fc.string({
  unit: fc.oneof(
    fc.constantFrom('\x1b[2J', '\x1b]0;t\x07', '\n', '\r', '\t', '\0', '\x7f', '\x9b1m'),
    fc.constantFrom('\u202e', '\u2066', '\u200b', '\u2028', '\ufeff', '\ud800', '\udc00', '\uffff'),
    fc.constantFrom('<', '>', '&', '"', "'", '\\', ']]>', '<script>', '語', 'e\u0301', 'ö', '😀'),
    fc.string({ unit: 'binary', maxLength: 3 }),
    fc.string({ maxLength: 3 }),
  ),
  maxLength: 12,
});

const HARMFUL = /[\p{Cc}\p{Cf}\p{Cs}\p{Cn}\p{Zl}\p{Zp}]/u;
/** The lines of what was printed, none of which may hold anything but plain characters. */
function lines(text: string): string[] {
  const all = text.split('\n');
  for (const line of all) expect(line).not.toMatch(HARMFUL);
  return all;
}

describe('text of unknown origin', () => {
  it('has no control, no direction and no line end when it is printed', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        expect(printable(text)).not.toMatch(HARMFUL);
        expect(columnsOf(printable(text))).toBeGreaterThanOrEqual(0);
      }),
    );
    expect(printable('a\x1b[2J\n\u202eb\ud800\u{e0001}')).toBe(
      'a\\x1b[2J\\x0a\\u202eb\\ud800\\u{e0001}',
    );
  });

  it('stays as it is where it is plain: identifiers of any language, paths, code', () => {
    for (const text of ['größe', '関数', 'a/b c.so', "'\\x1b'", 'naïve', 'x < y && z', ''])
      expect(printable(text)).toBe(text);
  });

  it('is cut to the columns there are, never inside a character', () => {
    fc.assert(
      fc.property(hostile, fc.nat(20), (text, columns) => {
        const whole = printable(text);
        const kept = clipped(whole, columns);
        expect(columnsOf(kept)).toBeLessThanOrEqual(columns);
        expect(whole.startsWith(kept)).toBe(true);
        expect(kept).not.toMatch(HARMFUL);
      }),
    );
  });

  it('forges no row of a table, and moves no column', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(hostile, hostile, fc.nat()), { minLength: 1, maxLength: 6 }),
        (rows) => {
          const text = table(
            [{ title: 'name' }, { title: 'key', align: 'right' }, { title: 'n' }, { title: 'end' }],
            rows.map((row) => [...row, '|']),
          );
          const [head = '', ...body] = lines(text);
          expect(body.length).toBe(rows.length);
          const places = body.map((line) => columnsOf(line.slice(0, -1)));
          expect(new Set([...places, head.indexOf('end')]).size).toBe(1);
        },
      ),
    );
  });

  it('adds no line to a refusal', () => {
    fc.assert(
      fc.property(hostile, hostile, hostile, (message, at, hint) => {
        const told = report(new Fault('bad-elf', `x${message}`, { at, hint }), '', (_, t) => t);
        const said = lines(told.text);
        expect(said.map((line) => line.slice(0, 5))).toEqual(['error', '  at ', '  hin']);
      }),
    );
  });

  it('of a tool that was run is indented, so that no line of it looks like ours', () => {
    fc.assert(
      fc.property(fc.array(hostile, { minLength: 1 }), (words) => {
        const cause = new Error(words.join('\n'));
        const told = report(new Fault('compile-failed', 'gcc ended', { cause }), '', (_, t) => t);
        for (const line of lines(told.text).slice(1))
          expect(line).toMatch(/^ {2}(cause|hint): |^ {4}/);
      }),
    );
  });

  it('is drawn over itself as one line of progress', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        let drawn = '';
        const stderr = { isTTY: true, columns: 10, write: (said: string) => (drawn += said) };
        progress({ stderr }).show(() => text);
        expect(drawn.slice(0, 5)).toBe('\r\x1b[2K');
        expect(lines(drawn.slice(5)).length).toBe(1);
        expect(columnsOf(drawn.slice(5))).toBeLessThan(10);
      }),
    );
  });

  it('leaves a picture of a run well-formed, and its text plain', () => {
    fc.assert(
      fc.property(fc.array(hostile, { minLength: 4, maxLength: 9 }), ([title, end, ...words]) => {
        const steps = words.map((what, i): TraceStep => {
          const patcher = i % 2 === 0;
          return {
            who: patcher ? -1 : 0,
            what,
            why: patcher ? what : null,
            step: patcher ? i : -1,
            update: 0,
            op: null,
            stored: patcher ? { address: i, at: what, bytes: [i], of: 2 } : null,
            site: [0xe8, i],
            fetched: null,
            entered: null,
            event: false,
            answer: false,
            minor: false,
          };
        });
        const trace: Trace = { title: title ?? '', steps, end: end ?? null, crux: 1 };
        expect(malformed(drawSvg({ heading: title ?? '', broken: true, trace }))).toBe(null);
        lines(draw(trace));
        expect(lines(story(trace, title ?? '')).length).toBe(1);
      }),
    );
  });

  it('makes no element of a page of figures', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const row = {
          name: `-${text}-`,
          unit: 'ns' as const,
          median: 1,
          p99: 2,
          least: 1,
          samples: 9,
        };
        const result: BenchResult = {
          machine: {
            cpu: text,
            cpus: 2,
            kernel: text,
            node: text,
            compiler: text,
            hypervisor: false,
            load: 0,
            date: '2026-01-01T00:00',
          },
          seconds: 1,
          tables: [
            {
              group: 'call',
              title: text,
              about: text,
              noise: null,
              rows: [
                {
                  ...row,
                  id: 'a',
                  ratio: { to: 'a', value: 1, spread: 0 },
                  ours: true,
                  more: { [text]: 1 },
                },
              ],
              unheld: text,
              missing: [{ what: text, why: text }],
            },
          ],
        };
        const html = page(result);
        lines(html);
        expect(html).not.toMatch(/<script/i);
        for (const svg of html.match(/<svg.*<\/svg>/g) ?? []) expect(malformed(svg)).toBe(null);
        expect(html).toContain(`<td>-${markup(text)}-`);
      }),
    );
  });
});

describe('the check of pictures', () => {
  it.each(['<a>', '<a></b>', '<a b="&"/>', '<a>\x1b</a>', '<a b="<"/>', '</a>', 'a & b', '\ufffe'])(
    'notices %j',
    (text) => expect(malformed(text)).not.toBe(null),
  );
  it('accepts what is well-formed', () =>
    expect(malformed('<a b="&amp;1"><c-d/>&#65; ü</a>\n')).toBe(null));
});
