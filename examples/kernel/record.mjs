#!/usr/bin/env node
// Records what a distribution's kernel does to its text while tracepoints and preemption modes are
// switched, as a log for `static-call check int3-gap/counted --against LOG`.
// usage: node examples/kernel/record.mjs VMLINUZ LOG [LINE OF SHELL]...

import { writeFileSync } from 'node:fs';
import { missing } from './guest.mjs';
import { Recorder, SWITCHES } from './recorder.mjs';

const [kernel, out, ...lines] = process.argv.slice(2);
if (kernel === undefined || out === undefined) {
  console.error('usage: node examples/kernel/record.mjs VMLINUZ LOG [LINE OF SHELL]...');
  process.exit(2);
}
const reason = missing();
if (reason !== null) {
  console.error(`record: ${reason}`);
  process.exit(4);
}
const recorder = await Recorder.boot({ kernel });
try {
  const events = await recorder.record((lines.length > 0 ? lines : SWITCHES).join('; '));
  writeFileSync(out, events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  console.log(`${events.length - 1} events in ${out}`);
} finally {
  await recorder.close();
}
