#!/usr/bin/env node
// Shows that the tests notice the mistakes of test/mutants/table.mjs. Ends with 1 where one is not
// noticed, or cannot be made any more.
//
//   npm run mutants -- [WORD]...    rows whose name or file has one of the words; all without any
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { judge } from '../test/mutants/run.mjs';
import { MUTANTS } from '../test/mutants/table.mjs';

const words = process.argv.slice(2);
const asked = ({ name, file }) =>
  words.length === 0 || words.some((word) => name.includes(word) || file.includes(word));
const table = MUTANTS.filter(asked);
if (table.length === 0) {
  console.error(`mutants: no row has ${words.join(' or ')} in its name or file`);
  process.exit(2);
}
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const outcomes = await judge(root, table, ({ mutant, verdict, why }) => {
  console.log(`${verdict.padEnd(10)}  ${mutant.file}: ${mutant.name}`);
  if (verdict !== 'noticed') console.log(why.replace(/^/gm, '            ').slice(0, 2000));
});
const noticed = outcomes.filter(({ verdict }) => verdict === 'noticed').length;
console.log(`${noticed} of ${outcomes.length} mistakes noticed`);
process.exitCode = noticed === outcomes.length ? 0 : 1;
