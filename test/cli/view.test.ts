// The command that hands out the page: its address, a file, a port of this machine.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { check } from '#check/ask/check';
import { Folder } from '../build.js';
import { line } from './line.js';

const built = pathToFileURL('dist/view.html').href;

it('prints the address of the page, and of a path on it', async () => {
  expect(await line(['view'])).toEqual({ status: 0, stdout: `${built}\n`, stderr: '' });
  const { runs } = await check(['naive'], { environment: 'user', passes: 1, updates: 1 });
  const token = runs[0]?.properties.torn.path ?? '';
  expect((await line(['view', '--path', token])).stdout).toBe(`${built}#${token}\n`);
  const said = await line(['check', 'naive', '--env', 'user', '--passes', '1', '--updates', '1']);
  expect(said.stdout).toContain(`see: ${built}#${token}`);
  expect(await line(['view', '--path', 'path1.e30'])).toMatchObject({ status: 2 });
});

it('writes the page whole, and refuses to do two things', async () => {
  using folder = new Folder();
  const file = folder.file('page.html');
  expect((await line(['view', '-o', file])).stdout).toBe(`${pathToFileURL(file).href}\n`);
  expect(readFileSync(file).equals(readFileSync('dist/view.html'))).toBe(true);
  expect((await line(['view', '-o', file, '--serve'])).status).toBe(2);
});

it('serves the page on this machine until it is interrupted', async () => {
  const child = spawn(process.execPath, ['bin/static-call', 'view', '--serve'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = await once(child.stdout, 'data');
  const url = String(said).trim();
  const answer = await fetch(url);
  expect((await answer.text()) === readFileSync('dist/view.html', 'utf8')).toBe(true);
  expect((await fetch(`${url}package.json`)).status).toBe(404);
  child.kill('SIGINT');
  expect(await once(child, 'exit')).toEqual([130, null]);
});
