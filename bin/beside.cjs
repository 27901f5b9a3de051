// Gives an object its table, for bin/launch.sh, and ends as its compiler did: the compiler runs
// beside this process and its status comes by standard input. A module of CommonJS, because node
// starts those sooner. Without the bundle, or where it fails, the modules do it and say why.

const { readFileSync } = require('node:fs');

const path = process.argv[2];
const beside = prepared();
const said = readFileSync(0, 'utf8').trim();
if (said === '0' && tabulated()) process.exit(0);
void import('../dist/cli/main.js').then(async ({ main }) => {
  process.exitCode = await main(['__tabulate', path, said]);
});

/** What takes longest is loaded while the compiler runs. */
function prepared() {
  try {
    const bundle = require('../dist/cli/beside.cjs');
    bundle.prepare();
    return bundle;
  } catch {
    return null;
  }
}

function tabulated() {
  try {
    beside.tabulateObject(path);
    return true;
  } catch {
    return false;
  }
}
