// What static calls buy, measured on this machine: a table for each group, or the run as JSON, or
// as a page, or held against an earlier run.

import { runBench, SECONDS } from '../../bench/bench.js';
import { compare, readStored, requireHeld, SCHEMA, type Verdict } from '../../bench/gate.js';
import { page } from '../../bench/html.js';
import { GROUPS, type BenchResult, type GroupName, type Table } from '../../bench/result.js';
import { distanceOf, show } from '../../bench/show.js';
import { EXIT } from '../../base/fault.js';
import { replaceFile } from '../../base/file.js';
import { printable } from '../../base/printable.js';
import type { Context } from '../context.js';
import { progress } from '../progress.js';
import { table } from '../table.js';

export interface Flags {
  readonly only?: readonly GroupName[];
  readonly seconds?: number;
  readonly quick: boolean;
  readonly html?: string;
  readonly gate?: string;
  readonly json: boolean;
}

const right = (title: string) => ({ title, align: 'right' as const });

type Paint = Context['paint'];

function textOf({ title, about, noise, rows, unheld, missing }: Table, paint: Paint): string {
  const names = new Map(rows.map((row) => [row.id, row.name]));
  const counted = rows.some((row) => typeof row.interrupts === 'number');
  const more = [...new Set(rows.flatMap((row) => Object.keys(row.more ?? {})))];
  const body = table(
    [
      { title: '' },
      right('median'),
      right('p99'),
      right('ratio'),
      right('+-'),
      ...(counted ? [right('interrupts')] : []),
      ...more.map(right),
    ],
    rows.map((row) => [
      row.name,
      show(row.median, row.unit),
      show(row.p99, row.unit),
      row.ratio ? row.ratio.value.toFixed(3) : '',
      row.ratio ? `${(100 * row.ratio.spread).toFixed(1)} %` : '',
      ...(counted ? [typeof row.interrupts === 'number' ? row.interrupts.toFixed(1) : ''] : []),
      ...more.map((name) => (row.more?.[name] === undefined ? '' : row.more[name].toFixed(2))),
    ]),
  );
  const references = [
    ...new Set(
      rows.flatMap((row) =>
        row.ratio && names.has(row.ratio.to) && row.ratio.to !== row.id
          ? [names.get(row.ratio.to)!]
          : [],
      ),
    ),
  ];
  return [
    paint('bold', title),
    ...[
      about,
      ...(references.length === 1 ? [`Ratio to: ${references[0]}.`] : []),
      ...(noise === null
        ? []
        : [
            `Two copies of the same thing differ by ${(100 * noise).toFixed(1)} %: read nothing into less.`,
          ]),
      ...(unheld === undefined ? [] : [`The gate does not hold these: ${unheld}.`]),
    ].map((line) => `  ${line}`),
    ...(rows.length === 0 ? [] : [body]),
    ...missing.map((m) => printable(`  not here: ${m.what}: ${m.why}`)),
  ].join('\n');
}

function gateText({ compared, regressions }: Verdict, path: string): string {
  const file = printable(path);
  if (compared === 0)
    return (
      `nothing could be compared with ${file}: no ratio has 20 samples in both runs. ` +
      'That is no pass; measure the same groups, for longer'
    );
  if (regressions.length === 0)
    return `${compared} ratios compared with ${file}: none grew beyond the noise of both runs`;
  return [
    `${regressions.length} of ${compared} ratios grew beyond the noise of both runs since ${file}:`,
    table(
      [{ title: 'what' }, right('before'), right('now'), right('accepted')],
      regressions.map((r) => [
        `${r.row} (${r.table})`,
        r.before.toFixed(3),
        r.after.toFixed(3),
        `+${(100 * r.tolerance).toFixed(0)} %`,
      ]),
    ),
  ].join('\n');
}

/** A run as text: what the command prints, and the record in docs/performance.md. */
export function text(result: BenchResult, paint: Paint): string {
  const { machine } = result;
  const head =
    `${machine.cpu}, ${machine.cpus} CPUs${machine.hypervisor ? ' of a virtual machine' : ''}, ` +
    `Linux ${machine.kernel}, Node ${machine.node}, ${machine.compiler}, ` +
    [`load ${machine.load.toFixed(2)}`, ...distanceOf(machine), `${result.seconds} s`].join(', ');
  return [head, ...result.tables.map((t) => textOf(t, paint))].join('\n\n');
}

export async function run(context: Context, flags: Flags): Promise<number> {
  // Read first: a wrong file must not cost a minute.
  const only = flags.only ?? GROUPS;
  const gate = flags.gate === undefined ? null : { path: flags.gate, run: readStored(flags.gate) };
  if (gate) requireHeld(gate.run, only, gate.path);
  using line = progress(context);
  const result = await runBench({
    only,
    seconds: flags.seconds ?? SECONDS[flags.quick ? 'quick' : 'whole'],
    quick: flags.quick,
    env: context.env,
    signal: context.signal,
    onProgress: (what) => line.show(() => `measuring: ${what}`),
  });
  line.end();
  const verdict = gate && compare(gate.run, result);
  if (flags.json) context.json(SCHEMA, verdict ? { ...result, gate: verdict } : result);
  else
    context.print(
      gate && verdict
        ? `${text(result, context.paint)}\n\n${gateText(verdict, gate.path)}`
        : text(result, context.paint),
    );
  // Behind the answer: a page that cannot be written must not cost the minute.
  if (flags.html !== undefined) replaceFile(flags.html, page(result));
  const passed = !verdict || (verdict.compared > 0 && verdict.regressions.length === 0);
  return passed ? EXIT.good : EXIT.no;
}
