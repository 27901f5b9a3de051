// Puts a mistake into what ships: text of one compiled file is replaced by other text while it is
// loaded. A text that is not there exactly once ends the process, for a mutant that has become none
// must not pass for one.

import { readFileSync } from 'node:fs';

const { file, edits } = JSON.parse(process.env.STATIC_CALL_MISTAKE);
const mistaken = new URL(`../../dist/${file}`, import.meta.url).href;

export async function load(url, context, next) {
  if (url !== mistaken) return next(url, context);
  let source = readFileSync(new URL(url), 'utf8');
  for (const [from, to] of edits) {
    const places = source.split(from).length - 1;
    if (places !== 1) throw new Error(`${file} has ${places} places that read: ${from}`);
    source = source.replace(from, () => to);
  }
  return { format: 'module', source, shortCircuit: true };
}
