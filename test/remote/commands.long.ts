import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { gcc } from '../build.js';
import { mayAttach } from './running.js';

const linux = process.platform === 'linux' && process.arch === 'x64';

it.skipIf(!(linux && gcc !== null && mayAttach()))(
  "an operator's commands answer as they should, tools that are killed in between too",
  () => {
    const words = ['scripts/operate.mjs', '--kills', '5'];
    const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
    expect(stdout + stderr).toContain('Everything is as it should be.');
    expect(status).toBe(0);
  },
  600_000,
);
