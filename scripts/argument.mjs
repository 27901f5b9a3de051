#!/usr/bin/env node
// Writes what the search answers into docs/argument.md: behind each command its verdicts, and the
// picture of the shortest failure. The rest of the page is written by hand. A long test makes the
// answers again and compares.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { main } from '../dist/cli/main.js';

const PAGE = new URL('../docs/argument.md', import.meta.url);
const ANSWER = /(^```sh\nstatic-call (check .*)\n```\n\n```text\n)[^]*?(^```$)/gm;

/** The value of `--json` that a command of the page prints. */
async function runOf(words) {
  let said = '';
  const write = (text) => void (said += text);
  const streams = { stdout: { write }, stderr: { write: () => {} }, env: {} };
  await main([...words, '--json'], streams);
  const { runs, incomplete } = JSON.parse(said);
  if (incomplete || runs.length !== 1) throw new Error(`${words.join(' ')}: not one whole run`);
  return runs[0];
}

/** What is asked for by --property, or everything that is not reported apart. */
function asked({ properties }, words) {
  const named = words.filter((_, i) => words[i - 1] === '--property');
  const apart = /-strict$|^livelock$|^trap-after-return$/;
  return named.length > 0 ? named : Object.keys(properties).filter((name) => !apart.test(name));
}

export async function answerTo(command) {
  const words = command.split(' ');
  const run = await runOf(words);
  const names = asked(run, words);
  const by = (verdict) => names.filter((name) => run.properties[name].verdict === verdict);
  const lines = ['fails', 'holds', 'unknown']
    .map((verdict) => [verdict, by(verdict)])
    .filter(([, of]) => of.length > 0)
    .map(([verdict, of]) => wrapped(`${verdict}: ${of.join(', ')}`));
  const [first] = by('fails').sort((a, b) => run.properties[a].steps - run.properties[b].steps);
  return first === undefined ? lines : [...lines, '', `${first}:`, run.properties[first].picture];
}

const wrapped = (text) => text.replace(/(.{1,96})(?:\s+|$)/g, '$1\n  ').trimEnd();

/** The page with every answer made anew; `only` says which of the commands. */
export async function withAnswers(page, only = () => true) {
  const answers = new Map();
  for (const [, , command] of page.matchAll(ANSWER))
    if (only(command)) answers.set(command, (await answerTo(command)).join('\n'));
  return page.replace(ANSWER, (whole, head, command, foot) =>
    answers.has(command) ? `${head}${answers.get(command)}\n${foot}` : whole,
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(PAGE, await withAnswers(readFileSync(PAGE, 'utf8')));
