#!/usr/bin/env node
// Writes docs/zoo.md from searches made now: half a minute on two idle cores. A long test makes the
// page again and compares.
import { writeFileSync } from 'node:fs';
import { ladder, zooPage } from '../dist/check/index.js';

const show = (run, done) =>
  process.stderr.isTTY &&
  process.stderr.write(
    `\r\x1b[2K${done}: ${run.protocol} ${run.variant} ${run.fetch}/${run.chunk}`,
  );
const page = zooPage(await ladder({ onRun: show }));
writeFileSync(new URL('../docs/zoo.md', import.meta.url), page);
