// Node opens a library that has a runtime of its own. argv: its path.
import { readdirSync, readFileSync } from 'node:fs';
import koffi from 'koffi';
import { open } from '#index';

const path = process.argv[2];
const tasks = () => readdirSync('/proc/self/task').length;
const library = koffi.load(path);
const run = library.func('int plugin_run(int)');
const choose = library.func('int plugin_choose(int)');
const runs = [run(5)];
const check = (result) => {
  if (result !== 0) throw new Error(`C was answered ${result}`);
};
check(choose(1));
runs.push(run(5));
const before = tasks();
const app = open(path);
const threads = tasks() - before;
app.update({ step: 'up' });
runs.push(run(5));
check(choose(1));
runs.push(run(5));
const { target } = app.keys.step;
app.close();
runs.push(run(5));
check(choose(0));
runs.push(run(5));
const pages = readFileSync('/proc/self/maps', 'utf8').match(/r-xp .*\/memfd:static-call /g).length;
console.log(JSON.stringify({ pages, runs, target, threads }));
