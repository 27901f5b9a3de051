#!/usr/bin/env node
// Writes docs/verdicts.md and docs/counterexamples.md from runs made now, which takes two to three
// minutes on two cores. A long test makes the pages again and compares. The README's pictures are made
// by pictures.mjs.
import { writeFileSync } from 'node:fs';
import { checkDocument } from '../dist/check/index.js';

const show = (run, done, all) =>
  process.stderr.isTTY &&
  process.stderr.write(`\r\x1b[2K${done} of ${all}: ${run.protocol} ${run.variant}`);
for (const [name, page] of Object.entries(await checkDocument({ onRun: show })))
  writeFileSync(new URL(`../docs/${name}`, import.meta.url), page);
