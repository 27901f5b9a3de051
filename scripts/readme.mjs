#!/usr/bin/env node
// Writes the two pictures at the head of README.md: how the plain write fails, and what the same
// schedule comes to under the protocol that ships. test/docs.test.ts holds the page against them.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { check, replayUnder } from '../dist/check/index.js';

/** The README with its blocks ```text naive and ```text int3 made anew. */
export async function withPictures(readme) {
  const { runs } = await check(['naive'], { environment: 'user', passes: 1, updates: 1 });
  const { picture, path } = runs[0].properties.torn;
  const pictures = { naive: picture, int3: replayUnder(path, 'int3').picture };
  return Object.entries(pictures).reduce(
    (text, [name, drawn]) =>
      text.replace(
        new RegExp(`(^\`\`\`text ${name}\n)[^]*?(^\`\`\`$)`, 'm'),
        (_, open, close) => `${open}${drawn}\n${close}`,
      ),
    readme,
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const readme = new URL('../README.md', import.meta.url);
  writeFileSync(readme, await withPictures(readFileSync(readme, 'utf8')));
}
