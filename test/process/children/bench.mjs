// Measures updates of a small key: as it is, again, with a hot thread that never runs, and with a
// path made slow. Prints for each which rows there are, and what the gate says of the second and
// the slow run. argv: the runs to make, of first, second, stopped, slowed.
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadDriver } from '#bench/driver';
import { compare } from '#bench/gate';
import { Workshop } from '#bench/tools';
import { measureUpdates } from '#bench/updates';
import { intercepted, openNative } from '#machine/linux/native';

const folders = [];
const native = openNative();
const groups = new Set(['update', 'pause']);
async function measured(change = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'static-call-bench-'));
  folders.push(folder);
  const workshop = new Workshop(folder, process.env);
  const driver = loadDriver(native, workshop);
  // As the benchmark does: the threads that it patches under keep to the other CPUs.
  driver.pin(0);
  const tables = await measureUpdates(
    {
      native,
      through: change.through ?? native,
      driver: change.driver?.(driver) ?? driver,
      workshop,
      xray: null,
      cpus: cpus().length,
      sizes: [1],
      budget: 300,
      signal: new AbortController().signal,
    },
    groups,
  );
  return { machine: {}, seconds: 0, tables };
}
const rows = ({ tables }) =>
  Object.fromEntries(
    tables.map((t) => [
      t.title,
      { rows: t.rows.length, missing: t.missing.map((m) => `${m.what}: ${m.why}`) },
    ]),
  );
// A tenth of a millisecond for every synchronisation, as if the machine had grown slow in that one
// place. More would leave too few samples to hold within the time of a run.
const slow = intercepted(native, (name, ...args) => {
  if (name === 'membarrier') for (const end = performance.now() + 0.1; performance.now() < end;);
  return native.call(name, ...args);
});
try {
  const ways = {
    first: {},
    second: {},
    stopped: { driver: (driver) => ({ ...driver, run() {} }) },
    slowed: { through: slow },
  };
  const runs = {};
  for (const name of process.argv.slice(2)) runs[name] = await measured(ways[name]);
  console.log(
    JSON.stringify({
      rows: Object.fromEntries(Object.entries(runs).map(([name, run]) => [name, rows(run)])),
      again: runs.first && runs.second ? compare(runs.first, runs.second) : null,
      slowed: runs.first && runs.slowed ? compare(runs.first, runs.slowed) : null,
    }),
  );
} finally {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}
