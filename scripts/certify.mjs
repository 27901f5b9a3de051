#!/usr/bin/env node
// Verifies a certificate of `static-call check PROTOCOL --bounds any --certificate FILE`, and uses
// nothing of the project that wrote it.
//
// A state is a patcher, an environment and a CPU. The tables say what each may do next:
//
//   M  a CPU in an environment     P  the patcher in an environment
//   B  what a broadcast of the patcher makes of a CPU     A  whether a CPU is asked for something
//
// It checks that
//   1. the initial state is in the set;
//   2. no move leads out of the set, and no state lacks a row of the tables;
//   3. nothing that is said to hold is broken by a move of any state in the set, and what is said to
//      fail is: a file whose moves are all called good fails here where something fails;
//   4. no move of a CPU changes the environment or another CPU. Then what a CPU does depends on no
//      other, and the set answers for any number of them;
//   5. the file is whole and was not altered since it was written (SHA-256).
//
// It does not check that the tables are those of an x86 machine, nor that the parts watch every depth
// of nesting and every target, nor progress (deadlock, livelock). Exit status: 0 accepted, 1 rejected.

import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const VERSION = 1;
/** More than any line is long: a file may not be larger than its header's lines allow. */
const LINE_MAX = 65_536;

class Rejected extends Error {}
function check(condition, why) {
  if (!condition) throw new Rejected(why);
}

/** The header and the body, which is read only when its size is what the header says. */
function read(path) {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    const head = Buffer.alloc(Math.min(size, LINE_MAX));
    readSync(fd, head, 0, head.length, 0);
    const [title = '', second = ''] = head.toString('latin1').split('\n', 2);
    const [, version] = /^static-call-certificate (\d+)$/.exec(title) ?? [];
    check(version !== undefined, 'it is no certificate');
    check(Number(version) === VERSION, `it has version ${version}; this reads version ${VERSION}`);
    const begin = title.length + 1 + second.length + 1;
    const header = JSON.parse(second);
    const { bytes, lines } = header;
    check(bytes === size - begin, `it has ${size - begin} bytes behind its header, not ${bytes}`);
    check(bytes <= lines * LINE_MAX && bytes < 2 ** 31, 'it is larger than what it claims');
    const body = Buffer.alloc(bytes);
    for (let at = 0; at < bytes;) at += readSync(fd, body, at, bytes - at, begin + at) || bytes;
    return { header, body };
  } finally {
    closeSync(fd);
  }
}

/** The parts of the body: an initial state, four tables, and a set of states. */
function* partsOf(body) {
  let part = null;
  for (const line of body.toString('latin1').split('\n')) {
    if (line === '') continue;
    const [kind, ...words] = line.split(' ');
    if (kind === 'part') {
      if (part !== null) yield part;
      const initial = words.slice(2).join(' ');
      part = { name: words.slice(0, 2).join(' '), initial, states: new Set() };
      for (const table of 'MPBA') part[table] = new Map();
      continue;
    }
    check(part !== null && words.every((word) => /^-?\d+$/.test(word)), `what is ${line}?`);
    if (kind === 'S') {
      part.states.add(words.join(' '));
      continue;
    }
    check(part[kind] instanceof Map, `what is ${line}?`);
    const keys = kind === 'A' ? 1 : 2;
    const key = words.slice(0, keys).join(' ');
    check(!part[kind].has(key), `two rows for ${kind} ${key}`);
    part[kind].set(key, words.slice(keys).map(Number));
  }
  if (part !== null) yield part;
}

function* fours(row) {
  check(row.length % 4 === 0, 'a row is cut');
  for (let i = 0; i < row.length; i += 4) yield row.slice(i, i + 4);
}

/** @returns the promises, as bits, that some move of the part breaks */
function verify(part) {
  const row = (kind, ...key) => {
    const found = part[kind].get(key.join(' '));
    check(found !== undefined, `part ${part.name}: no row ${kind} ${key.join(' ')}`);
    return found;
  };
  const after = (broadcast, cpu) => (broadcast < 0 ? cpu : row('B', broadcast, cpu)[0]);
  let broken = 0;
  check(part.states.has(part.initial), `part ${part.name}: the initial state is not in the set`);
  for (const state of part.states) {
    const [p, e, c] = state.split(' ').map(Number);
    const inside = (...next) =>
      check(
        part.states.has(next.join(' ')),
        `part ${part.name}: a move leads from ${state} to ${next.join(' ')}, which is not in the set`,
      );
    for (const [cpu, env, broadcast, bad] of fours(row('M', c, e))) {
      check(env === e && broadcast < 0, `part ${part.name}: CPU ${c} writes what others read`);
      check(
        cpu >= 0 || bad !== 0,
        `part ${part.name}: CPU ${c} cannot go on, and nothing is broken`,
      );
      broken |= bad;
      if (cpu >= 0) inside(p, e, cpu);
    }
    const [asked] = row('A', c);
    for (const [patcher, env, broadcast, answered] of fours(row('P', p, e)))
      if (answered === 0 || asked === 0) inside(patcher, env, after(broadcast, c));
  }
  return broken;
}

function main(path) {
  const { header, body } = read(path);
  const digest = createHash('sha256').update(body).digest('hex');
  check(digest === header.sha256, 'it was altered: its SHA-256 is another one');
  let [broken, states, parts] = [0, 0, 0];
  for (const part of partsOf(body)) {
    broken |= verify(part);
    states += part.states.size;
    parts++;
  }
  const found = header.names.filter((_, i) => broken & (1 << i));
  check(
    found.join() === header.fails.join(),
    `its moves break ${found.join(', ') || 'nothing'}, and it says ${header.fails.join(', ') || 'nothing'}`,
  );
  check(parts > 0 && !header.holds.some((name) => found.includes(name)), 'it contradicts itself');
  const holds = header.holds.join(', ');
  console.log(
    `accepted: ${header.protocol}, ${states} states in ${parts} parts; it holds: ${holds}`,
  );
}

try {
  main(process.argv[2] ?? '');
} catch (error) {
  console.error(`rejected: ${error.message.split('\n')[0]}`);
  process.exitCode = 1;
}
