#!/usr/bin/env node
// Adds up what ran: pairs of a report of vitest's (its JSON) and the exit status of the run that wrote it; a
// name that is no .json file is a command without a report, and counts as one test.
// What did not end well counts as failed: a test that never finished (its worker crashed), a file that could
// not be loaded, a hook that failed, a report that is missing, and a run whose status no test explains.
import { readFileSync } from 'node:fs';

export function count(report, status) {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  for (const file of report?.testResults ?? []) {
    const before = failed;
    for (const { status: end } of file.assertionResults) {
      if (end === 'passed') passed++;
      else if (end === 'skipped' || end === 'todo' || end === 'disabled') skipped++;
      else failed++;
    }
    if (file.status === 'failed' && failed === before) failed++;
  }
  // No test at all is no success either.
  if (failed === 0 && (status !== 0 || passed === 0)) failed++;
  return { passed, failed, skipped };
}

/** A command that reports by its status alone. */
export function command(status) {
  return { passed: status === 0 ? 1 : 0, failed: status === 0 ? 0 : 1, skipped: 0 };
}

function read(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    console.error(`${path}: ${error.message}`);
    return null;
  }
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (let i = 2; i + 1 < process.argv.length; i += 2) {
    const [name, status] = [process.argv[i], Number(process.argv[i + 1])];
    const part = name.endsWith('.json') ? count(read(name), status) : command(status);
    for (const key of Object.keys(total)) total[key] += part[key];
  }
  if (total.skipped > 0) console.log(`${total.skipped} skipped`);
  console.log(`${total.passed} passed, ${total.failed} failed`);
  process.exitCode = total.failed === 0 ? 0 : 1;
}
