#!/usr/bin/env node
// Writes docs/api.md: what `static-call` and `static-call/check` export, from the declarations that
// a user's compiler reads, with their comments. A test compares the two.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseSync } from 'oxc-parser';
import { format } from 'prettier';

const DOORS = [
  ['static-call', 'dist/index.d.ts'],
  ['static-call/check', 'dist/check/index.d.ts'],
];

/** What a door exports: name, and the file of its declaration. */
function exportsOf(path) {
  const { program } = parseSync(path, readFileSync(path, 'utf8'));
  return program.body.flatMap((node) =>
    node.type === 'ExportNamedDeclaration' && node.source
      ? node.specifiers.map(({ local }) => ({
          name: local.name,
          file: join(dirname(path), node.source.value.replace(/\.js$/, '.d.ts')),
        }))
      : [],
  );
}

/** The declaration of a name, and the comment before it. */
function declarationOf({ name, file }) {
  const text = readFileSync(file, 'utf8');
  const { program, comments } = parseSync(file, text);
  for (const node of program.body) {
    const inner = node.declaration ?? node;
    const names = inner.id ? [inner.id.name] : (inner.declarations ?? []).map(({ id }) => id.name);
    if (!names.includes(name)) continue;
    const before = comments.findLast(
      ({ end, value }) =>
        end <= node.start && value.startsWith('*') && text.slice(end, node.start).trim() === '',
    );
    return {
      name,
      kind: inner.type,
      comment: before?.value ?? '',
      text: text.slice(node.start, node.end).replace(/^export (declare )?/, ''),
    };
  }
  throw new Error(`${file} does not declare ${name}`);
}

/** A comment's paragraphs and its tags. */
function read(comment) {
  const lines = comment.split('\n').map((line) => line.replace(/^\s*\*+ ?/, '').trimEnd());
  const parts = [{ tag: '', lines: [] }];
  for (const line of lines) {
    const [, tag, rest] = /^@(\w+) ?(.*)$/.exec(line) ?? [];
    if (tag) parts.push({ tag, lines: [rest] });
    else parts.at(-1).lines.push(line);
  }
  return parts.map(({ tag, lines: own }) => ({ tag, text: own.join('\n').trim() }));
}

/** In lines of a hundred columns. */
function filled(text) {
  const lines = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= 100)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.join('\n');
}
const SHOWN = {
  '': (text) => text,
  param: (text) => filled(`Parameter ${text.replace(/^(\S+)/, '`$1`:')}`),
  returns: (text) => filled(`Returns ${text}`),
  throws: (text) => filled(`Throws ${text}`),
  example: (text) => `\`\`\`ts\n${text}\n\`\`\``,
};

const ORDER = [
  'TSDeclareFunction',
  'FunctionDeclaration',
  'ClassDeclaration',
  'VariableDeclaration',
];
const rank = ({ kind }) => (ORDER.indexOf(kind) + ORDER.length + 1) % (ORDER.length + 1);

async function entry(declaration) {
  const said = read(declaration.comment).flatMap(({ tag, text }) => {
    const show = SHOWN[tag];
    if (!show) throw new Error(`${declaration.name}: @${tag} is not known`);
    return text === '' ? [] : [show(text)];
  });
  const code = await format(declaration.text, {
    parser: 'typescript',
    singleQuote: true,
    printWidth: 100,
  });
  return [`### ${declaration.name}`, ...said, `\`\`\`ts\n${code}\`\`\``].join('\n\n');
}

export async function apiPage() {
  // A name is explained once, at the first door that has it.
  const places = new Map();
  const anchors = new Map();
  const doors = [];
  for (const [title, path] of DOORS) {
    const all = exportsOf(path).map(declarationOf);
    const sorted = all
      .map((each, at) => ({ each, at }))
      .sort((a, b) => rank(a.each) - rank(b.each) || a.at - b.at)
      .map(({ each }) => each);
    const fresh = sorted.filter(({ name }) => !places.has(name));
    for (const { name } of fresh) {
      // Headings that differ only in their case are told apart by a number, as GitHub does it.
      const plain = name.toLowerCase();
      const seen = anchors.get(plain) ?? 0;
      anchors.set(plain, seen + 1);
      places.set(name, seen === 0 ? plain : `${plain}-${seen}`);
    }
    const names = sorted.map(({ name }) => `[${name}](#${places.get(name)})`);
    const entries = await Promise.all(fresh.map(entry));
    doors.push([`## ${title}`, filled(names.join(', ')), ...entries].join('\n\n'));
  }
  return [
    '# API',
    filled(
      'What a program imports, as its compiler reads it. [adopting.md](adopting.md) and the ' +
        '[README](../README.md) show it in use, and [faults.md](faults.md) has the codes of its errors.',
    ),
    'This page is written by `node scripts/api.mjs`.',
    ...doors,
  ]
    .join('\n\n')
    .concat('\n');
}

if (process.argv[1] === new URL(import.meta.url).pathname)
  writeFileSync(new URL('../docs/api.md', import.meta.url), await apiPage());
