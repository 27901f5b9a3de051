#!/usr/bin/env node
// Writes docs/verdicts.md from runs made now, which takes two to three minutes on two cores. A long
// test makes the page again and compares. The README's pictures are made by readme.mjs.
import { writeFileSync } from 'node:fs';
import { checkDocument } from '../dist/check/index.js';

const show = (run, done, all) =>
  process.stderr.isTTY &&
  process.stderr.write(`\r\x1b[2K${done} of ${all}: ${run.protocol} ${run.variant}`);
writeFileSync(
  new URL('../docs/verdicts.md', import.meta.url),
  await checkDocument({ onRun: show }),
);
