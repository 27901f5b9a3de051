// Measures the form of the sources: how long lines, functions and classes are, and how often a
// conditional is nested or the compiler is overruled. Prints a table; test/tidy.test.ts holds the
// limits.

import { readdirSync, readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { parseSync } from 'oxc-parser';

const FUNCTIONS = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression']);

/** Every node of a tree with its parents, outermost first. */
function* nodes(node, parents = []) {
  yield { node, parents };
  for (const [key, value] of Object.entries(node)) {
    if (key === 'parent') continue;
    for (const child of Array.isArray(value) ? value : [value])
      if (child && typeof child === 'object' && typeof child.type === 'string')
        yield* nodes(child, [...parents, node]);
  }
}

const nameOf = (node, parents) => {
  const parent = parents.at(-1);
  return (
    node.id?.name ??
    parent?.key?.name ??
    (parent?.type === 'VariableDeclarator' ? parent.id.name : undefined) ??
    '(anonymous)'
  );
};

/**
 * @param {string} path
 * @param {string} text
 */
export function measureFile(path, text) {
  const { program, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path}: ${errors[0].message}`);
  const starts = [0];
  for (let i = 0; i < text.length; i++) if (text[i] === '\n') starts.push(i + 1);
  const lineOf = (at) => {
    let [low, high] = [0, starts.length];
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (starts[middle] <= at) low = middle;
      else high = middle;
    }
    return low + 1;
  };
  const lines = ({ start, end }) => lineOf(end) - lineOf(start) + 1;
  const found = { functions: [], classes: [], nested: [], assertions: 0, casts: 0, any: 0 };
  for (const { node, parents } of nodes(program)) {
    const at = { path, line: lineOf(node.start) };
    if (FUNCTIONS.has(node.type) && node.body)
      found.functions.push({ ...at, name: nameOf(node, parents), lines: lines(node) });
    if (node.type === 'ClassDeclaration' || node.type === 'ClassExpression')
      found.classes.push({ ...at, name: nameOf(node, parents), lines: lines(node) });
    if (node.type === 'ConditionalExpression' && parents.at(-1)?.type === 'ConditionalExpression')
      found.nested.push(at);
    if (node.type === 'TSNonNullExpression') found.assertions++;
    if (node.type === 'TSAsExpression' && node.typeAnnotation.typeName?.name !== 'const')
      found.casts++;
    if (node.type === 'TSAnyKeyword') found.any++;
  }
  const columns = text.split('\n').map((line) => line.length);
  return {
    ...found,
    lines: columns.length - 1,
    over100: columns.filter((length) => length > 100).length,
    over120: columns.flatMap((length, i) => (length > 120 ? [{ path, line: i + 1 }] : [])),
  };
}

/** Of all sources, by path. */
export function measureSources(folder = 'src') {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.tsx?$/.test(path))
    .map((path) => `${folder}/${path}`);
  return paths.sort().map((path) => measureFile(path, readFileSync(path, 'utf8')));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const all = measureSources(process.argv.slice(2).find((word) => !word.startsWith('--')));
  const sum = (of) => all.reduce((total, file) => total + of(file), 0);
  const flat = (of) => all.flatMap(of);
  const longest = (list) => list.toSorted((a, b) => b.lines - a.lines);
  const lines = sum((file) => file.lines);
  const functions = flat((file) => file.functions);
  const show = ({ path, line, name, lines: many }) => `  ${many}  ${name}  ${path}:${line}`;
  console.log(`files                 ${all.length}
lines                 ${lines}
over 100 columns      ${sum((file) => file.over100)} (${((100 * sum((file) => file.over100)) / lines).toFixed(2)} %)
over 120 columns      ${sum((file) => file.over120.length)}
nested conditionals   ${sum((file) => file.nested.length)}
x!                    ${sum((file) => file.assertions)}
casts                 ${sum((file) => file.casts)}
any                   ${sum((file) => file.any)}
functions             ${functions.length}, over 70 lines: ${functions.filter((f) => f.lines > 70).length}`);
  console.log('longest functions');
  for (const f of longest(functions).slice(0, 30)) if (f.lines > 60) console.log(show(f));
  console.log('longest classes');
  for (const c of longest(flat((file) => file.classes)).slice(0, 8)) console.log(show(c));
  if (process.argv.includes('--list'))
    for (const { path, line } of flat((file) => [...file.nested, ...file.over120]))
      console.log(`${path}:${line}`);
}
