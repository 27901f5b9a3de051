import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { gcc } from '../build.js';
import { mayAttach } from './running.js';

const linux = process.platform === 'linux' && process.arch === 'x64';

const attachable = linux && gcc !== null && mayAttach();

it.skipIf(!attachable)(
  'of the updates of two operators, and of an operator and the program, none is lost or mixed',
  () => {
    const words = ['scripts/contend.mjs', '--seconds', '5'];
    const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
    expect(`${stdout}${stderr}status ${status}`).toMatch(
      /lost 0, one chain.*\n.*lost 0, one chain/,
    );
    expect(status).toBe(0);
  },
  600_000,
);

it.skipIf(!attachable)(
  "an operator's commands answer as they should, tools that are killed in between too",
  () => {
    const words = ['scripts/operate.mjs', '--kills', '5'];
    const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
    expect(`${stdout}${stderr}status ${status}`).toContain('Everything is as it should be.');
    expect(status).toBe(0);
  },
  600_000,
);
