#!/usr/bin/env node
// Writes docs/silicon.md from the records in docs/silicon/: what `static-call check --litmus
// --json` printed, one file for each CPU. Which models explain a record is computed here and now,
// so an old record is judged by the model of today. A long test makes the page again and compares.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { CLAIMED, Explanations } from '../dist/check/litmus/allowed.js';
import { DEPARTURES, departuresOf } from '../dist/check/litmus/departures.js';
import { LITMUS } from '../dist/plan/litmus.js';

const FOLDER = new URL('../docs/silicon/', import.meta.url);
const PAGE = new URL('../docs/silicon.md', import.meta.url);
const NEAR = 200;

const records = () =>
  readdirSync(FOLDER)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => ({ name, ...JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')) }));

const short = ({ fetch, chunk, store }) =>
  `${fetch} ${chunk}${store === 'line' ? '' : `, stores by ${store}`}`;
const names = (models) => models.map(short).join(' or ') || 'none';
const quantity = (n) => (n < 10_000 ? String(n) : n.toExponential(2).replace('e+', 'e'));
const row = (cells) => `| ${cells.join(' | ')} |`;
const rows = (title, all) => [row(title), row(title.map(() => '---')), ...all.map(row)].join('\n');

/** What each program asks, and from which model on each of its outcomes is allowed. */
function questions(model) {
  return rows(
    ['program', 'what it does', 'outcome', 'allowed from'],
    LITMUS.flatMap((program) => {
      const outcomes = [...model.allowed(program, CLAIMED)].filter(
        (outcome) => !['whole', 'in order', 'trap'].includes(outcome),
      );
      const said = outcomes
        .sort()
        .map((outcome) => [outcome, names(model.strictest([{ program, outcomes: [outcome] }]))]);
      const none = program.watch === 'order' ? 'late or backwards' : 'mixed';
      const all = said.length === 0 ? [[none, 'no model']] : said;
      return all.map(([outcome, from], i) =>
        i === 0 ? [`\`${program.name}\``, program.about, outcome, from] : ['', '', outcome, from],
      );
    }),
  );
}

const departures = () =>
  rows(
    ['CPU', 'programs', 'outcome', 'what was seen', 'what follows'],
    DEPARTURES.map(({ family, model, programs, outcome, seen, follows }) => [
      `family ${family}, model ${model}`,
      programs.map((name) => `\`${name}\``).join(', '),
      outcome,
      seen,
      follows,
    ]),
  );

function sightings(record) {
  return record.programs.flatMap(({ name, seen }) => {
    const program = LITMUS.find((each) => each.name === name);
    if (program === undefined) return [];
    const known = departuresOf(record, name);
    return [{ program, outcomes: Object.keys(seen).filter((outcome) => !known.has(outcome)) }];
  });
}

function recorded(model, record) {
  const { cpu, microcode, kernel, date, milliseconds, load, version, name } = record;
  const body = rows(
    ['program', 'updates', 'ns', 'seen', 'explained by'],
    sightings(record).map(({ program, outcomes }) => {
      const found = record.programs.find((each) => each.name === program.name);
      const { updates, distance, seen, skipped } = found;
      const counts = Object.entries(seen).map(([outcome, n]) => `${outcome} ${quantity(n)}`);
      return [
        `\`${program.name}\``,
        quantity(updates),
        distance.length === 0 ? '' : Math.max(...distance),
        skipped ?? counts.join(', '),
        skipped === null ? names(model.strictest([{ program, outcomes }])) : '',
      ];
    }),
  );
  const far = record.programs.filter(({ distance }) => Math.max(0, ...distance) > NEAR).length;
  return `## ${cpu}

Microcode ${microcode}, Linux ${kernel}, static-call ${version}, ${date}; ${milliseconds} ms a program, load
${load === undefined ? 'not recorded' : load.toFixed(1)}. The record is [silicon/${name}](silicon/${name}). In ${far} of ${record.programs.length} programs the CPUs were over ${NEAR} ns
apart: there, absence says nothing.

All of it is explained by **${names(model.strictest(sightings(record)))}**.

${body}
`;
}

export function siliconPage() {
  const model = new Explanations();
  return `<!-- Written by scripts/silicon.mjs from the records in docs/silicon/. -->

# What CPUs were seen to do

\`static-call check --litmus\` runs small programs of two threads on the CPU at hand. One thread changes
code, the other executes it, and whatever is executed is counted and crashes nothing. The page holds
each record beside the model of [verdicts.md](verdicts.md): a fetcher of one of the levels F0 to F3 that
reads chunks of some size, and stores that are whole inside a unit of some size. The "strictest" models
are those that allow all that was seen and that no other such model undercuts.

What was not seen is not thereby impossible, least of all where the CPUs are far apart: a host moves
the CPUs of a virtual machine every few seconds.

To send the record of another CPU:

\`\`\`sh
static-call check --litmus --json --wait 60 > family-model.json
\`\`\`

It goes to docs/silicon/, and \`node scripts/silicon.mjs\` writes this page.

## The programs

"Allowed from" names the strictest models under which the outcome can happen. A CPU that shows it is
none of the stricter ones. \`mp-df-cpuid\`, \`mp-df-iret\`, \`mp-df-serialize\` and \`trap-then-rest\` are
late under no model; they would be if CPUID, IRET or SERIALIZE did not serialise.

${questions(model)}

## What no model allows, and a CPU was seen to do

\`check --litmus\` answers "no" for what no model allows, except for the rows below on their CPU.

${departures()}

${records()
  .map((record) => recorded(model, record))
  .join('\n')}`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  writeFileSync(PAGE, siliconPage());
