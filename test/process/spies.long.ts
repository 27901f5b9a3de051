// The spies of docs/adopting.md, in a vitest of their own as a user without root has it.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { Folder, gcc, owner } from '../build.js';
import { blocks } from '../readme.js';
import { compileProgram } from './programs.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

it.skipIf(!gcc)(
  'a spy of vitest is called by C, and the target before it is back afterwards',
  () => {
    const library = compileProgram(folder, 'recipes.c');
    const [recipe] = blocks(readFileSync('docs/adopting.md', 'utf8')).filter(
      ({ name }) => name === 'spies.ts',
    );
    mkdirSync(folder.file('node_modules'));
    for (const name of ['vitest', 'koffi'])
      symlinkSync(join(process.cwd(), 'node_modules', name), folder.file(`node_modules/${name}`));
    symlinkSync(process.cwd(), folder.file('node_modules/static-call'));
    const test = (body: string): string =>
      folder.write(
        'spies.test.ts',
        `import koffi from 'koffi';
import { afterEach, expect, it, vi } from 'vitest';
import { open, target } from 'static-call';
const library = ${JSON.stringify(library)};
const app = open(library);
const checksum = koffi.load(library).func('int checksum(const uint8_t *, int)');
const before = app.keys.sum.target;
afterEach(() => expect([app.keys.sum.target, app.verify()]).toEqual([before, []]));
it('is spied on', () => {
${body}
});`,
      );
    const vitest = join(process.cwd(), 'node_modules/vitest/vitest.mjs');
    const run = (): { status: number | null; said: string } => {
      const words = [
        vitest,
        'run',
        '--root',
        folder.path,
        '--pool',
        'forks',
        '--reporter',
        'verbose',
      ];
      const options = {
        encoding: 'utf8',
        timeout: 120_000,
        env: { ...process.env, VITEST: '', HOME: folder.path },
        ...owner(folder, library),
      } as const;
      const { status, stdout, stderr } = spawnSync(process.execPath, words, options);
      return { status, said: stdout + stderr };
    };
    test(recipe?.body ?? '');
    const good = run();
    expect(good.said).toMatch(/1 passed/);
    expect(good.status, good.said).toBe(0);
    test((recipe?.body ?? '').replace(/^checksum\(.*$/m, ''));
    expect(run().said).toMatch(/1 failed/);
  },
);
