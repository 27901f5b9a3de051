// attach, told what to do by lines; each is answered by a line of JSON. argv: pid.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { attach } from '../../dist/index.js';

let app;
let next = 'fast';
const DO = {
  attach: () => (app = attach(Number(process.argv[2]))),
  change: () => {
    app.update({ step: next });
    next = next === 'fast' ? 'slow' : 'fast';
  },
  detach: () => app.detach(),
};

const { version } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
);
console.log(JSON.stringify({ version }));
for await (const line of createInterface({ input: process.stdin })) {
  const began = performance.now();
  try {
    DO[line]();
    console.log(JSON.stringify({ ns: Math.round((performance.now() - began) * 1e6) }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error) }));
  }
}
