#!/usr/bin/env node
// Damaged inputs by the hundred thousand: `npm run fuzz`. Every case has a number that makes it
// again. usage: node scripts/fuzz.mjs [--count 100000] [--seed 1] [--target NAME] [--case N]
import { parseArgs } from 'node:util';
import { campaign } from '../test/fuzz/campaign.mjs';
import { TARGETS } from '../test/fuzz/targets.mjs';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
    target: { type: 'string' },
    case: { type: 'string' },
  },
});
const names = TARGETS.map((t) => t.name).filter(
  (name) => values.target === undefined || name === values.target,
);
if (names.length === 0) {
  console.error(
    `fuzz: there is no target ${values.target}; known: ${TARGETS.map((t) => t.name).join(', ')}`,
  );
  process.exit(2);
}
const seed = Number(values.seed);
const first = values.case === undefined ? 0 : Number(values.case);
// The count is shared out among the targets.
const count = values.case === undefined ? Math.ceil(Number(values.count) / names.length) : 1;
let findings = 0;
for (const target of names) {
  const began = performance.now();
  const report = await campaign({ target, seed, first, count });
  const refused = Object.entries(report.refused)
    .sort((a, b) => b[1] - a[1])
    .map(([code, n]) => `${code} ${n}`)
    .join(', ');
  console.log(
    `${target}: ${count} cases, ${report.ok} accepted, refused: ${refused || 'none'}; ${report.findings.length} findings; ${((performance.now() - began) / 1000).toFixed(1)} s`,
  );
  for (const f of report.findings)
    console.log(
      `  case ${f.case} (node scripts/fuzz.mjs --target ${target} --seed ${seed} --case ${f.case}): ${f.what}`,
    );
  findings += report.findings.length;
}
process.exitCode = findings > 0 ? 1 : 0;
