import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Folder, gcc, must } from '../build.js';
import { LONG } from '../more.js';
import { line } from './line.js';
import { complaints, SCHEMAS } from './schema.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

const SOURCE = `#include <static_call.h>
void told(int a);
void told(int a) { (void)a; }
int one(int a);
int one(int a) { return a; }
int two(int a);
int two(int a) { return -a; }
DEFINE_STATIC_CALL(work, one);
STATIC_CALL_TARGET(work, two);
DEFINE_STATIC_CALL_NULL(tell, told);
int use(int a);
int use(int a) { static_call_cond(tell)(a); return static_call(work)(a) + 1; }
`;

async function valueOf(argv: readonly string[]): Promise<unknown> {
  const { stdout } = await line([...argv, '--json'], { PATH: process.env['PATH'] ?? '' });
  return JSON.parse(stdout);
}

const named = (): string[] =>
  readdirSync('src', { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && path !== 'check/poke-log.ts')
    .flatMap((path) => [
      ...readFileSync(join('src', path), 'utf8').matchAll(/'(static-call\/[a-z-]+@\d+)'/g),
    ])
    .map(([, name]) => name!);

describe('a schema', () => {
  it('is there for each kind of value that a command prints, and for no other', () => {
    expect([...new Set(named())].sort()).toEqual(SCHEMAS.toSorted());
  });
  it('refuses a field too many, one too few, and one of another type', async () => {
    const value = (await valueOf(['include'])) as Record<string, unknown>;
    expect(complaints(value)).toEqual([]);
    expect(complaints({ ...value, more: 1 })).toHaveLength(1);
    expect(complaints({ ...value, path: 1 })).toHaveLength(1);
    expect(complaints({ schema: value['schema'] })).toHaveLength(1);
    expect(complaints({ schema: 'static-call/none@1' })).toHaveLength(1);
  });
});

const QUICK = ['--env', 'user', '--passes', '1', '--updates', '1'];

describe('the value of --json', () => {
  it.each([
    [['include']],
    [['flags']],
    [['completion', 'zsh']],
    [['runtime']],
    [['view']],
    [['doctor']],
    [['check', '--list']],
    [['check', 'naive', ...QUICK]],
    [['check', 'int3-gap', 'int3-retire/versioned']],
    [['check', 'store', '--offset', 'all', ...QUICK]],
    [['types', 'gone.so']],
    [['inspect', 'gone.so']],
    [['sites', '1073741824']],
    [['attach', '1073741824']],
    [['set', '1073741824', 'a=b']],
    [['reset', '1073741824']],
    [['doctor', '1073741824']],
  ])('of %j is what its schema says', async (argv) => {
    expect(complaints(await valueOf(argv))).toEqual([]);
  });

  it('of a path is what its schema says', async () => {
    const { runs } = (await valueOf(['check', 'naive', ...QUICK])) as {
      runs: { properties: { torn: { path: string } } }[];
    };
    const value = await valueOf(['check', '--path', runs[0]!.properties.torn.path]);
    expect(complaints(value)).toEqual([]);
  });

  it('of a stored measurement is what its schema says', () => {
    expect(complaints(JSON.parse(readFileSync('docs/performance.json', 'utf8')))).toEqual([]);
  });

  it.skipIf(!gcc)(
    'of commands for objects is what its schema says (skipped without gcc)',
    async () => {
      const source = folder.write('f.c', SOURCE);
      const include = (await line(['include'])).stdout.trim();
      const [object, shared] = [folder.file('f.o'), folder.file('f.so')];
      must('gcc', ['-O2', '-fPIC', `-I${include}`, '-c', source, '-o', object]);
      must('gcc', ['-shared', object, '-o', shared]);
      for (const argv of [
        ['types', shared],
        ['inspect', object, shared],
        ['inspect', '--by', 'key', object],
        ['inspect', '--diff', object, shared],
        ['annotate', object, source],
        ...(LONG ? [['demo', '--seconds', '1']] : []),
      ])
        expect(complaints(await valueOf(argv)), argv.join(' ')).toEqual([]);
      const compiled = spawnSync(
        process.execPath,
        ['bin/static-call', 'cc', '--json', '--', 'gcc', '-c', source, '-o', folder.file('g.o')],
        { encoding: 'utf8' },
      );
      expect(complaints(JSON.parse(compiled.stdout))).toEqual([]);
    },
  );

  it.skipIf(!gcc)(
    'of commands for processes is what its schema says (skipped without gcc)',
    async () => {
      const source = folder.write(
        'p.c',
        `${SOURCE}#include <unistd.h>\nint main(void) { puts("up"); for (;;) { use(1); usleep(1000); } }\n`.replace(
          '#include <static_call.h>',
          '#include <stdio.h>\n#define puts(s) (puts(s), fflush(stdout))\n#include <static_call.h>',
        ),
      );
      const include = (await line(['include'])).stdout.trim();
      must('gcc', ['-O2', `-I${include}`, source, '-o', folder.file('p')]);
      const child = spawn(folder.file('p'), { stdio: ['ignore', 'pipe', 'ignore'] });
      try {
        await once(child.stdout, 'data');
        const pid = String(child.pid);
        for (const argv of [
          ['sites', pid],
          ['attach', pid],
          ['set', pid, 'work=two', 'tell=null'],
          ['sites', pid],
          ['doctor', pid],
          ['reset', pid],
        ])
          expect(complaints(await valueOf(argv)), argv.join(' ')).toEqual([]);
      } finally {
        child.kill('SIGKILL');
      }
    },
  );
});
