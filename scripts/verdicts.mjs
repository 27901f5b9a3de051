#!/usr/bin/env node
// Writes docs/verdicts.md from runs made now. Takes a few minutes.
import { writeFileSync } from 'node:fs';
import { checkDocument } from '../dist/check/index.js';

const show = (run, done, all) => process.stderr.isTTY && process.stderr.write(`\r\x1b[2K${done} of ${all}: ${run.protocol} ${run.variant}`);
writeFileSync(new URL('../docs/verdicts.md', import.meta.url), await checkDocument({ onRun: show }));
