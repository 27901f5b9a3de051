import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compare, readStored, SCHEMA } from '#bench/gate';
import { page } from '#bench/html';
import { ratioOf, Samples, type BenchResult, type Row, type Table } from '#bench/result';
import { show } from '#bench/show';
import { Folder } from '../build.js';
import { line } from '../cli/line.js';

const row = (id: string, ratio: number | null, more: Partial<Row> = {}): Row => ({
  id,
  name: `row ${id}`,
  unit: 'ns',
  median: 100,
  p99: 200,
  least: 90,
  samples: 50,
  ours: true,
  ratio: ratio === null ? null : { to: 'reference', value: ratio, spread: 0.01 },
  ...more,
});
const result = (rows: readonly Row[], noise: number | null = 0.02): BenchResult => ({
  machine: {
    cpu: 'a CPU',
    cpus: 2,
    kernel: '6.1',
    node: '20',
    compiler: 'gcc',
    hypervisor: false,
    load: 0,
    date: '2026-11-23T10:00:00.000Z',
  },
  seconds: 1,
  tables: [
    {
      group: 'update',
      title: 'An update',
      about: 'about',
      noise,
      rows,
      missing: [{ what: 'SPIN', why: 'package spin' }],
    } satisfies Table,
  ],
});

describe('the gate', () => {
  it('passes two runs that differ by less than their noise, and fails a ratio that grew by more', () => {
    expect(compare(result([row('a', 1)]), result([row('a', 1.2)]))).toEqual({
      compared: 1,
      regressions: [],
    });
    const { regressions } = compare(
      result([row('a', 1), row('b', 1)]),
      result([row('a', 1), row('b', 2)]),
    );
    expect(regressions).toEqual([
      { table: 'An update', row: 'row b', before: 1, after: 2, tolerance: 0.3 },
    ]);
    expect(compare(result([row('a', 2)]), result([row('a', 1)])).regressions).toEqual([]);
  });
  it('accepts more where a run was noisy: by its control row, or by the row itself', () => {
    const [quiet, grown] = [result([row('a', 1)]), [row('a', 2)]];
    expect(compare(quiet, result(grown)).regressions).toHaveLength(1);
    expect(compare(quiet, result(grown, 0.5)).regressions).toEqual([]);
    expect(
      compare(quiet, result([row('a', 2, { ratio: { to: 'reference', value: 2, spread: 0.3 } })]))
        .regressions,
    ).toEqual([]);
  });
  it('holds only our own rows that are ratios to the same thing', () => {
    const unlike = [
      row('a', 9, { ours: false }),
      row('b', null),
      row('c', 9, { ratio: { to: 'other', value: 9, spread: 0 } }),
      row('d', 9),
    ];
    expect(compare(result([row('a', 1), row('b', 1), row('c', 1)]), result(unlike))).toEqual({
      compared: 0,
      regressions: [],
    });
  });
  it('leaves out rows of too few samples, and tables that it is told to', () => {
    const before = result([row('a', 1), row('b', 1)]);
    expect(compare(before, result([row('a', 9, { samples: 19 }), row('b', 1)]))).toEqual({
      compared: 1,
      regressions: [],
    });
    const after = result([row('a', 9)]);
    expect(
      compare(before, {
        ...after,
        tables: [{ ...after.tables[0]!, unheld: 'threads share a CPU' }],
      }),
    ).toEqual({ compared: 0, regressions: [] });
  });
  it('knows that a rate is better the higher', () => {
    const rate = (value: number): BenchResult => result([row('a', value, { unit: 'per second' })]);
    expect(compare(rate(1), rate(3)).regressions).toEqual([]);
    expect(compare(rate(3), rate(1)).regressions).toHaveLength(1);
  });
  it('refuses a record that a later run cannot be held against, before anything is measured', async () => {
    using folder = new Folder();
    const good = result([row('a', 1)]);
    const [table] = good.tables;
    const records: Record<string, unknown> = {
      'a row that is none': [{ ...table, rows: [null] }],
      'a table that is none': [null],
      'tables that are no list': {},
      'a table without rows': [{ ...table, rows: undefined }],
      'a ratio that is a number': [{ ...table, rows: [{ ...row('a', 1), ratio: 1 }] }],
      'samples in words': [{ ...table, rows: [row('a', 1, { samples: 'many' as never })] }],
      'noise in words': [{ ...table, noise: 'much' }],
      'no rows at all': [],
      'rows of too few samples': [{ ...table, rows: [row('a', 1, { samples: 19 })] }],
      'rows of another group than is asked for': [{ ...table, group: 'call' }],
    };
    for (const [what, tables] of Object.entries(records)) {
      const path = folder.write('run.json', JSON.stringify({ schema: SCHEMA, ...good, tables }));
      // Without a compiler: a run that began would say so.
      const said = await line(['bench', '--gate', path, '--only', 'update'], { PATH: '/nowhere' });
      expect([said.status, said.stdout], what).toEqual([2, '']);
      expect(said.stderr, what).toMatch(/^error\[bad-usage\]: its? /);
    }
  });
  it('reads what --json wrote and refuses anything else', () => {
    const folder = mkdtempSync(join(tmpdir(), 'static-call-gate-'));
    try {
      const write = (text: string): string => {
        writeFileSync(join(folder, 'run.json'), text);
        return join(folder, 'run.json');
      };
      expect(readStored(write(JSON.stringify({ schema: SCHEMA, ...result([]) }))).seconds).toBe(1);
      for (const text of [
        '',
        '[]',
        'null',
        '{"schema":"static-call/bench@2","tables":[]}',
        `{"schema":"${SCHEMA}"}`,
      ]) {
        expect(() => readStored(write(text)), text).toThrow(
          expect.objectContaining({ code: 'bad-usage' }),
        );
      }
      expect(() => readStored(join(folder, 'none'))).toThrow(
        expect.objectContaining({ code: 'no-such-file' }),
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('samples', () => {
  it('become ratios round by round, so that a slow round is slow for both', () => {
    expect(ratioOf([10, 20, 400], [5, 10, 200])).toEqual({ value: 2, spread: 0 });
    const samples = new Samples();
    for (const [a, b] of [
      [1, 1],
      [3, 1],
      [2, 1],
      [100, 50],
    ] as const) {
      samples.add('a', a);
      samples.add('b', b);
    }
    expect(samples.row('a', 'a', { to: 'b' })).toMatchObject({
      median: 3,
      least: 1,
      samples: 4,
      ratio: { to: 'b', value: 2 },
    });
    expect(samples.row('none', 'none')).toBeNull();
  });
});

describe('the page', () => {
  const html = page(
    result([
      row('a', 1),
      row('b', 2, { median: 1e6, p99: 3e9, name: 'a <b> & "c"' }),
      row('c', 1, { unit: 'count', median: 3 }),
    ]),
  );
  it('holds every row, escaped, and what is missing', () => {
    expect(html).toContain('row a');
    expect(html).toContain('a &lt;b&gt; &amp; &quot;c&quot;');
    expect(html).not.toContain('a <b>');
    expect(html).toContain('SPIN: package spin');
    expect(html.match(/class="plot"/g)).toHaveLength(2);
    expect(html).not.toMatch(/NaN|Infinity|undefined/);
  });
  it('needs nothing but itself', () => {
    expect(html).not.toMatch(/https?:|src=|href=|<script|@import|url\(/);
  });
});

it('shows figures with three digits and their unit', () => {
  expect([0.352, 15.41, 125_000, 2_345_678, 3.2e9].map((ns) => show(ns, 'ns'))).toEqual(
    ['0.35 ns', '15.4 us', '125 us', '2.35 ms', '3.20 s'].map((text, i) =>
      i === 1 ? '15.4 ns' : text,
    ),
  );
  expect([show(1.5e6, 'per second'), show(92_900, 'per second'), show(6, 'count')]).toEqual([
    '1.50 M/s',
    '92.9 k/s',
    '6',
  ]);
});
