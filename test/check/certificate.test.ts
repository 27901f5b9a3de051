// A certificate is verified by a script that knows nothing of this project, and no damage passes
// it.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { certificate } from '#check/ask/certificate';
import { BOUNDS_ANY, configure, type Configuration } from '#check/configuration';
import { findProposal } from '#zoo/index';
import { LONG, more } from '../more.js';

/** How many damages of each kind. */
const TIMES = LONG ? 100 : 4;

const room = mkdtempSync(join(tmpdir(), 'certificate-'));
afterAll(() => rmSync(room, { recursive: true, force: true }));

function made(name: string, given: Partial<Configuration> = {}): string {
  const proposal = findProposal(name, '', given.environment);
  const { environment } = proposal;
  return certificate(proposal, configure({ environment, ...BOUNDS_ANY, ...given }), 1_000_000);
}

let files = 0;
const place = (): string => join(room, String(files++));
/** What the script says of a file: one line, and its exit status. */
function said(file: string): Promise<{ status: number; line: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, ['scripts/certify.mjs', file], (error, stdout, stderr) => {
      const status = error === null ? 0 : Number(error.code);
      resolve({ status, line: (stdout + stderr).trim() });
    });
  });
}
function judged(text: string): Promise<{ status: number; line: string }> {
  const file = place();
  writeFileSync(file, text);
  return said(file);
}

/** Header and lines of a certificate. */
function opened(text: string): { header: Record<string, unknown>; lines: string[] } {
  const [, header = '', ...lines] = text.trimEnd().split('\n');
  return { header: JSON.parse(header) as Record<string, unknown>, lines };
}
/** A certificate of other lines, whose header agrees with them: only what they say is wrong. */
function closed(header: Record<string, unknown>, lines: readonly string[]): string {
  const body = `${lines.join('\n')}\n`;
  const sha256 = createHash('sha256').update(body).digest('hex');
  const { length: bytes } = body;
  const agreed = { ...header, lines: lines.length, bytes, sha256 };
  return `static-call-certificate 1\n${JSON.stringify(agreed)}\n${body}`;
}

/** Numbers that are the same in every run. */
function* numbers(seed: number): Generator<number, never> {
  for (let x = seed; ;) yield (x = (Math.imul(x, 1_103_515_245) + 12_345) >>> 1);
}

const small = made('int3-gap', { contexts: ['task'] });

describe('a certificate', () => {
  it.for<[string, Partial<Configuration>]>([
    ['int3-gap', { contexts: ['task'] }],
    ['stop-machine', {}],
    ...more<[string, Partial<Configuration>][]>(
      ['int3-gap', {}],
      ['int3', {}],
      ['auto', {}],
      ['store', { environment: 'user', chunk: 'qword' }],
    ),
  ])('of %s is accepted', { timeout: 300_000 }, async ([name, given]) => {
    const { status, line } = await judged(made(name, given));
    expect(line).toMatch(/^accepted: .* it holds: torn, target, after-update/);
    expect(status).toBe(0);
  });

  it('is refused for what fails, is counted, or has CPUs that write for each other', () => {
    expect(() => made('naive')).toThrow('torn fails');
    expect(() => made('int3-gap', { updates: 2 })).toThrow('ask for --bounds any');
    expect(() => made('int3-gap', { contexts: ['task', 'preempt'] })).toThrow('one CPU');
  });

  it('is rejected without any one of its states', { timeout: 300_000 }, async () => {
    const { header, lines } = opened(small);
    const states = lines.flatMap((line, i) => (line.startsWith('S ') ? [i] : []));
    const random = numbers(7);
    for (let n = 0; n < TIMES; n++) {
      const without = lines.toSpliced(states[random.next().value % states.length]!, 1);
      const { status, line } = await judged(closed(header, without));
      expect(line).toMatch(/^rejected: part .*not in the set/);
      expect(status).toBe(1);
    }
  });

  if (LONG)
    it('is rejected with any one move altered', { timeout: 300_000 }, async () => {
      const { lines } = opened(small);
      const moves = lines.flatMap((line, i) => (/^[MP] \d+ \d+ /.test(line) ? [i] : []));
      const random = numbers(11);
      for (let n = 0; n < TIMES; n++) {
        const at = moves[random.next().value % moves.length]!;
        const words = lines[at]!.split(' ');
        const word = 3 + (random.next().value % (words.length - 3));
        const altered = words.with(word, String(Number(words[word]) + 1)).join(' ');
        const { status } = await judged(small.replace(`\n${lines[at]}\n`, `\n${altered}\n`));
        expect(status, altered).toBe(1);
      }
    });

  it('is rejected where a move leads out, writes what others read, or nothing is called bad', async () => {
    const { header, lines } = opened(small);
    const line = lines.findIndex((each) => /^M \d+ \d+ \d/.test(each));
    const move = lines[line]!.split(' ');
    const out = lines.with(line, move.with(3, '999999').join(' '));
    expect((await judged(closed(header, out))).line).toMatch(/^rejected: .*not in the set/);
    const writes = lines.with(line, move.with(4, '999999').join(' '));
    expect((await judged(closed(header, writes))).line).toMatch(/writes what others read/);
    const good = lines.map((each) => {
      const [kind = '', ...words] = each.split(' ');
      const isBad = (i: number): boolean => kind === 'M' && i >= 2 && (i - 2) % 4 === 3;
      return [kind, ...words.map((word, i) => (isBad(i) ? '0' : word))].join(' ');
    });
    expect(header['fails']).toContain('indirect-branch-strict');
    expect((await judged(closed(header, good))).line).toMatch(/its moves break nothing/);
  });

  it('is rejected with one line if it is cut, of another version, no certificate, or far too large', async () => {
    const [cut, other, none, large] = [
      small.slice(0, -100),
      small.replace('certificate 1', 'certificate 2'),
      '{}\n',
      closed(opened(small).header, opened(small).lines.slice(0, 10)),
    ];
    expect((await judged(cut)).line).toMatch(/^rejected: it has \d+ bytes behind its header/);
    expect((await judged(other)).line).toBe('rejected: it has version 2; this reads version 1');
    expect((await judged(none)).line).toBe('rejected: it is no certificate');
    const file = place();
    writeFileSync(file, large);
    // A gigabyte, of which the file system keeps no block.
    truncateSync(file, 2 ** 30);
    const { status, line } = await said(file);
    expect(line).toMatch(/^rejected: it has 1073\d+ bytes behind its header, not/);
    expect(status).toBe(1);
    expect((await said(place())).line).toMatch(/^rejected: ENOENT/);
  });
});
