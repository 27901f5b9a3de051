import { readFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { line } from './line.js';

const folder = mkdtempSync(join(tmpdir(), 'check-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('static-call check', () => {
  it('says no with a picture, and yes without', async () => {
    const wrong = await line(['check', 'naive', '--env', 'kernel', '--context', 'task', '--passes', '1', '--updates', '1']);
    expect(wrong.status).toBe(1);
    expect(wrong.stdout).toMatch(/torn +FAILS/);
    expect(wrong.stdout).toMatch(/site +patcher +CPU 0/);
    const right = await line(['check', 'int3-gap', '--context', 'task', '--passes', '1', '--updates', '1', '--stats']);
    expect([right.status, right.stderr]).toEqual([0, '']);
    expect(right.stdout).toMatch(/M transitions\/s, \d+ bytes a state/);
  });

  it('judges only what it is asked for', async () => {
    const asked = ['check', 'naive', '--env', 'kernel', '--context', 'task', '--passes', '1', '--updates', '1'];
    expect((await line([...asked, '--property', 'flags'])).status).toBe(0);
    expect((await line([...asked, '--property', 'flags', '--property', 'torn'])).status).toBe(1);
  });

  it('prints one JSON value, whose paths replay and draw', async () => {
    const { stdout, status } = await line(['check', 'int3-gap/no-gap', '--context', 'task', '--passes', '1', '--updates', '1', '--json']);
    const value = JSON.parse(stdout) as { schema: string; runs: { protocol: string; variant: string; exhaustive: boolean; properties: Record<string, { verdict: string; path?: string }> }[] };
    expect([status, value.schema, value.runs[0]!.protocol, value.runs[0]!.variant, value.runs[0]!.exhaustive]).toEqual([1, 'static-call/check@1', 'int3-gap', 'no-gap', true]);
    const { path } = value.runs[0]!.properties['stack']!;
    const svg = join(folder, 'stack.svg');
    const replayed = await line(['check', '--path', path!, '--svg', svg]);
    expect(replayed.stdout).toMatch(/#GP at handler.exit/);
    expect(readFileSync(svg, 'utf8')).toMatch(/^<svg /);
  });

  it('refuses what it does not know and suggests the nearest', async () => {
    const refused = async (...words: string[]) => {
      const { status, stderr } = await line(['check', ...words]);
      return `${status} ${stderr.replaceAll('\n', ' ')}`;
    };
    expect(await refused('int3-gab')).toMatch(/^2 .*did you mean int3-gap\?/);
    expect(await refused('int3-gap', '--property', 'tron')).toMatch(/^2 .*unknown property tron.*did you mean torn\?/);
    expect(await refused('int3-gap', '--context', 'task,nim')).toMatch(/^2 .*unknown context nim.*did you mean nmi\?/);
    expect(await refused('int3', '--context', 'task,irq')).toMatch(/^2 .*context irq is the kernel's/);
    expect(await refused()).toMatch(/^2 .*name a protocol/);
    const file = join(folder, 'own.mjs');
    writeFileSync(file, 'export default { name: "own", about: "mine", accepts: { bytes: "whole", within: null }, handler: null, steps: [{ do: "stor", why: "x" }] };');
    expect(await refused(file)).toMatch(/^3 .*steps\[0\]\.do.*did you mean store\?/);
    expect(await refused(join(folder, 'own.ts'))).toMatch(/^3 /);
  });
});
