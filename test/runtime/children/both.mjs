// Node opens a library that has a runtime of its own. argv: its path.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import koffi from 'koffi';
import { open } from '#index';

const path = process.argv[2];
const tasks = () => readdirSync('/proc/self/task').length;
const isMemory = (fd) => {
  try {
    return /^\/proc\/.*\/mem$/.test(readlinkSync(`/proc/self/fd/${fd}`));
  } catch {
    return false;
  }
};
/** Where the kept descriptors of the process's memory are, each by its number. */
const positions = () =>
  readdirSync('/proc/self/fd')
    .filter(isMemory)
    .map((fd) => [fd, readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1').match(/pos:\t(\d+)/)[1]]);
const library = koffi.load(path);
const run = library.func('int plugin_run(int)');
const choose = library.func('int plugin_choose(int)');
const runs = [run(5)];
const made = positions();
const check = (result) => {
  if (result !== 0) throw new Error(`C was answered ${result}`);
};
check(choose(1));
runs.push(run(5));
const before = tasks();
const app = open(path);
const threads = tasks() - before;
for (const step of ['up', 'down', 'up', 'down', 'up']) app.update({ step });
runs.push(run(5));
check(choose(1));
runs.push(run(5));
const { target } = app.keys.step;
app.close();
runs.push(run(5));
check(choose(0));
runs.push(run(5));
const pages = readFileSync('/proc/self/maps', 'utf8').match(/r-xp .*\/memfd:static-call /g).length;
const marked = made.map(([, position]) => Number(position) >= 2 ** 48);
const kept = JSON.stringify(positions()) === JSON.stringify(made);
console.log(JSON.stringify({ marked, kept, pages, runs, target, threads }));
