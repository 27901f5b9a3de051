// `static-call check PROTOCOL --against LOG`: what a kernel did to its text, held against the
// protocol's steps. Status 1 where a batch is refused or a trap goes on elsewhere.

import { EXIT, Fault } from '../base/fault.js';
import { readWhole } from '../base/file.js';
import { printable } from '../base/printable.js';
import { conform, type Conformance } from '../check/conform.js';
import { readPokeLog } from '../check/poke-log.js';
import { findProposal } from '../zoo/index.js';
import type { Context } from './context.js';

export function holdAgainst(
  context: Context,
  names: readonly string[],
  path: string,
  json: boolean,
): number {
  const [name, ...others] = names;
  if (name === undefined || others.length > 0)
    throw new Fault('bad-usage', `a log is held against one protocol, not ${names.length}`, {
      hint: 'static-call check int3-gap/counted --against LOG',
    });
  const [protocol = name, variant = ''] = name.split('/');
  const proposal = findProposal(protocol, variant, 'kernel');
  const log = readPokeLog(readWhole(path).toString('utf8'), path);
  const found = conform(proposal.protocol, log);
  if (json) context.json('static-call/conform@1', { protocol: name, ...found });
  else context.print(textOf(name, path, found));
  return found.batches > 0 && found.conform === found.batches ? EXIT.good : EXIT.no;
}

const count = (n: number): string => n.toLocaleString('en-US');
/** The rest are told by their number. */
const SHOWN = 10;

function textOf(name: string, path: string, found: Conformance): string {
  const { batches, unseen, sites, refusals, traps, resumed } = found;
  const all = Object.values(traps).reduce((sum, n) => sum + n, 0);
  const phases = Object.entries(traps)
    .filter(([, n]) => n > 0)
    .map(([phase, n]) => `${count(n)} ${PHASES[phase] ?? phase}`);
  const lines = [
    `${printable(path)} against ${printable(name)}: ${count(batches)} batches of ${count(sites)} sites, ` +
      `${count(found.conform)} conform`,
    ...(unseen > 0
      ? [`  ${count(unseen)} batches stored outside the recorded text (modules)`]
      : []),
    ...(found.migrated > 0
      ? [`  the updater went to another CPU within ${count(found.migrated)} batches`]
      : []),
    `  traps: ${count(all)}${all > 0 ? ` (${phases.join(', ')})` : ''}; ${count(resumed.new)} went on at ` +
      `the new target, ${count(resumed.other)} elsewhere, ${count(resumed.unknown)} the log cannot tell`,
    ...refusals
      .slice(0, SHOWN)
      .map(
        (r) =>
          `  batch ${count(r.batch)} differs at step ${r.step}: expected ${r.expected}; ` +
          `found ${r.found} (event ${count(r.event)})`,
      ),
    ...(refusals.length > SHOWN ? [`  and ${count(batches - found.conform - SHOWN)} more`] : []),
    'A log shows which steps are done, in which order. Whether they suffice it cannot show: a',
    'translator fetches nothing stale. That is what the search is for, with an updater that is',
    `preempted and goes to another CPU: static-call check ${printable(name)} --patcher task --context task,preempt`,
  ];
  return lines.join('\n');
}

const PHASES: Readonly<Record<string, string>> = {
  'after trap': 'after the trap byte',
  'after rest': 'after the rest',
  'after first': 'after the new first byte',
  outside: 'between batches',
};
