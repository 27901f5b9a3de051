#!/usr/bin/env node
// Writes docs/pictures: a failure and the same schedule under int3, as `check --svg` draws them,
// and plots of the runs that docs/performance.json and docs/pictures/demo.json hold. A test
// compares them. `npm start -- --json > docs/pictures/demo.json` records another demo.
import { readFileSync, writeFileSync } from 'node:fs';
import { callPlot, loadPlot } from '../dist/bench/html.js';
import { check, replayUnder } from '../dist/check/index.js';
import { targetPlot } from '../dist/host/demo-page.js';
import { plotFile } from '../dist/host/plot.js';

const root = new URL('../', import.meta.url);
const json = (path) => JSON.parse(readFileSync(new URL(path, root), 'utf8'));

/** Names of files and what is in them. */
export async function pictures() {
  const { runs } = await check(['naive'], {
    environment: 'user',
    passes: 1,
    updates: 1,
    explained: ['torn'],
  });
  const bench = json('docs/performance.json');
  return {
    'check.svg': replayUnder(runs[0].properties.torn.path, 'int3').svg,
    'bench.svg': plotFile(callPlot(bench)),
    'update.svg': plotFile(loadPlot(bench)),
    'demo.svg': plotFile(targetPlot(json('docs/pictures/demo.json'))),
  };
}

export async function writePictures() {
  for (const [name, text] of Object.entries(await pictures()))
    writeFileSync(new URL(`docs/pictures/${name}`, root), text);
}

if (process.argv[1] === new URL(import.meta.url).pathname) await writePictures();
