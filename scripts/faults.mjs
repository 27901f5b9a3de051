#!/usr/bin/env node
// Writes docs/faults.md from the table of faults in src/base/fault.ts. The test of the house
// compares the two.
import { mkdirSync, writeFileSync } from 'node:fs';
import { FAULTS } from '../dist/base/fault.js';

const STATUS = {
  1: 'the answer is no',
  2: 'wrong usage',
  3: 'input refused',
  4: 'this machine refused',
};

export function faultsPage() {
  const rows = Object.entries(FAULTS).map(
    ([code, { exit, hint }]) =>
      `| <a id="${code}"></a>\`${code}\` | ${hint.replaceAll('|', '\\|')} | ${exit} |`,
  );
  return [
    '# Faults',
    '',
    'Every refusal is a `Fault` with one of these codes. Its message says what was found, `at` says where, and the hint what',
    'to do: where the place knows better than this table, it says so instead. Nothing was changed by a refusal, unless its',
    'row says otherwise. The command line prints all of it and exits with the status of the row:',
    `${Object.entries(STATUS)
      .map(([status, what]) => `${status}, ${what}`)
      .join('; ')}.`,
    '',
    'This page is written by `node scripts/faults.mjs`.',
    '',
    '| code | what to do | exit status |',
    '| --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  mkdirSync(new URL('../docs/', import.meta.url), { recursive: true });
  writeFileSync(new URL('../docs/faults.md', import.meta.url), faultsPage());
}
