// What the documentation shows is run, without root: the README's program as it stands, and the
// examples of what the package exports.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { pictures } from '../scripts/pictures.mjs';
import { Folder, gcc, owner } from './build.js';
import { line } from './cli/line.js';
import { LONG } from './more.js';
import { Reader } from './reader.js';
import { blocks, promised, readme, rowsUnder } from './readme.js';

/**
 * A folder in which `static-call` and what it needs are installed, and can be typed on a command
 * line.
 */
function project(): Folder {
  const folder = new Folder();
  const modules = join(process.cwd(), 'node_modules');
  mkdirSync(folder.file('node_modules/@types'), { recursive: true });
  symlinkSync(process.cwd(), folder.file('node_modules/static-call'));
  for (const installed of ['koffi', '@types/node', 'typescript'])
    symlinkSync(join(modules, installed), folder.file(join('node_modules', installed)));
  folder.write('package.json', '{ "type": "module" }');
  return folder;
}
const shell = (
  folder: Folder,
  command: string,
): { status: number | null; stdout: string; stderr: string } =>
  spawnSync('sh', ['-ec', command], {
    cwd: folder.path,
    encoding: 'utf8',
    env: {
      ...process.env,
      HOME: folder.path,
      PATH: `${process.cwd()}/bin${delimiter}${process.env['PATH']}`,
    },
    ...owner(folder, join(process.cwd(), 'bin/launch.sh')),
  });

/** Strictly compiled, then run by this Node; what it prints. */
function runTypeScript(folder: Folder, name: string): string {
  const options = [
    '--strict',
    '--noUncheckedIndexedAccess',
    '--target',
    'es2022',
    '--lib',
    'es2023,esnext.disposable',
    '--module',
    'nodenext',
    '--types',
    'node',
    '--skipLibCheck',
  ];
  const compiled = spawnSync(
    process.execPath,
    [join(process.cwd(), 'node_modules/typescript/bin/tsc'), ...options, name],
    { cwd: folder.path, encoding: 'utf8' },
  );
  if (compiled.status !== 0) throw new Error(compiled.stdout);
  const ran = shell(folder, `'${process.execPath}' ${name.replace(/\.ts$/, '.js')}`);
  expect(ran).toMatchObject({ status: 0 });
  return ran.stdout;
}

describe('the README', () => {
  const text = readme();
  const [c, ts] = ['c', 'ts'].map((lang) => blocks(text).filter((block) => block.lang === lang));

  it('shows pictures that are what node scripts/pictures.mjs writes', async () => {
    const shown = [...text.matchAll(/!\[[^\]]+\]\((docs\/pictures\/[\w.]+)\)/g)];
    const made = await pictures();
    for (const [name, svg] of Object.entries(made))
      expect(readFileSync(`docs/pictures/${name}`, 'utf8') === svg, name).toBe(true);
    expect(shown.map(([, path]) => basename(path!)).sort()).toEqual([
      'check.svg',
      'demo.svg',
      'update.svg',
    ]);
  });

  it('is two screens beside its pictures, and says what the project is in its first sentence', () => {
    const lines = text.replaceAll(/^```text[^]*?^```$|^!\[[^\]]*\]\(.*\)$/gm, '').split('\n');
    expect(lines.length).toBeLessThanOrEqual(140);
    expect(lines[2]).toMatch(/^Calls through hooks at the price of a direct call/);
    expect([c!.length, ts!.length]).toEqual([1, 1]);
    expect([c![0]!.body, ts![0]!.body].map((body) => body.trimEnd().split('\n').length)).toEqual([
      8, 8,
    ]);
  });

  it('leads from an empty folder to a retargeted program, command by command', ({ skip }) => {
    skip(!gcc, 'gcc is not installed');
    using reader = new Reader();
    // What npm would fetch is there already; clone.long.ts fetches it.
    reader.modules('koffi', 'typescript');
    reader.write('package.json', '{ "type": "module" }');
    const told = reader.follow(text, {
      leave: (_, command) => (/^npm |^mkdir /.test(command) ? 'clone.long.ts' : null),
    });
    const lines = promised(ts![0]!.body);
    expect(new Set(lines).size).toBeGreaterThan(1);
    expect(told.at(-1)!.stdout).toBe(`${lines.join('\n')}\n`);
    expect(readFileSync(reader.file('filters.keys.ts'), 'utf8')).toContain(
      "readonly blend: 'blend_max' | 'blend_mean';",
    );
    // A target that the program does not declare neither compiles nor runs.
    reader.write('wrong.ts', ts![0]!.body.replace('blend_max', 'blend_min'));
    expect(reader.run('npx tsc wrong.ts --noEmit --module nodenext').stdout).toMatch(
      /"blend_min"' is not assignable/,
    );
  });

  it.skipIf(!LONG)('shows what npm start prints', ({ skip }) => {
    skip(!gcc, 'gcc is not installed');
    const [demo] = blocks(text).filter(({ name }) => name === 'demo');
    const label = (line: string): string => line.replace(/\s+[\d,.]+$/, '');
    const shown = demo!.body.trimEnd().split('\n').map(label);
    using folder = project();
    const printed = shell(folder, 'static-call demo --seconds 1').stdout.split('\n').map(label);
    expect(printed).toEqual(expect.arrayContaining(shown));
  });

  it.each(rowsUnder(text, '| finding | command | answer |').filter((_, row) => LONG || row < 2))(
    'found what the checker finds: %s',
    async (_finding, command, answer) => {
      const [name, ...args] = command!.split(' ');
      expect(name).toBe('static-call');
      const { status, stdout } = await line([...args, '--json']);
      const { runs } = JSON.parse(stdout) as {
        runs: {
          claim: { word: string };
          properties: Record<string, { verdict: string }>;
        }[];
      };
      const failed = runs.flatMap(({ properties }) =>
        Object.keys(properties).filter((property) => properties[property]!.verdict === 'fails'),
      );
      const [{ claim } = { claim: { word: '' } }] = runs;
      if (answer === 'proved') expect(claim.word).toBe('proved');
      else expect(failed).toContain(answer);
      expect(status).toBe(answer === 'proved' ? 0 : 1);
    },
  );

  it('has the figures of the recorded benchmark', () => {
    const { tables } = JSON.parse(readFileSync('docs/performance.json', 'utf8')) as {
      tables: { title: string; rows: { name: string; ratio?: { value: number } }[] }[];
    };
    const { rows } = tables.find(({ title }) => title === 'A call: one call in a loop')!;
    const ratio = (name: RegExp): string =>
      rows.find((row) => name.test(row.name))!.ratio!.value.toFixed(2);
    const MEASURED: readonly (readonly [said: RegExp, without: RegExp, ours: RegExp])[] = [
      [/a hook that is off/, /^test of a flag/, /^static call, empty/],
      [/retpoline/, /^retpoline/, /^static call, patched/],
      [/PLT/, /^PLT/, /^static call, patched/],
      [/either of two targets/, /two targets mixed/, /^static call, patched/],
      [/well-predicted/, /^function pointer, near/, /^static call, patched/],
    ];
    // The last row is of another record (bench/frida.test.ts).
    const said = rowsUnder(text, '| | without | static call |').slice(0, -1);
    expect(said.length).toBe(MEASURED.length);
    for (const [i, [what, without, ours]] of said.entries()) {
      const [asked, before, after] = MEASURED[i]!;
      expect(what).toMatch(asked);
      expect([without, ours], what).toEqual([ratio(before), ratio(after)]);
    }
  });
});

describe('every page', () => {
  const pages = [
    ...readdirSync('.'),
    ...readdirSync('docs', { recursive: true, encoding: 'utf8' }).map((name) => `docs/${name}`),
  ].filter((name) => name.endsWith('.md'));

  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as {
    scripts: Record<string, string>;
  };
  /** Other folders are the kernel's. */
  const OURS = new Set([...readdirSync('src'), 'src', 'test', 'scripts', 'docs', 'examples']);
  /** Links, and files in code type, that lead nowhere: from the page, the root, or src/. */
  const broken = (page: string, text: string): string[] => {
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)]
      .map((match) => join(dirname(page), match[1]!))
      .filter((path) => !existsSync(path));
    const files = [...text.matchAll(/`([\w-]+(?:\/[\w.-]+)+\.(?:ts|mjs|md|h|c))`/g)]
      .map((match) => match[1]!)
      .filter(
        (path) =>
          OURS.has(path.split('/')[0]!) &&
          !['.', 'src', dirname(page)].some((from) => existsSync(join(from, path))),
      );
    const scripts = [...text.matchAll(/`npm (?:run )?([\w:-]+)[` ]/g)]
      .map((match) => match[1]!)
      .filter((name) => !['ci', 'install', 'pack'].includes(name) && !(name in manifest.scripts));
    return [...links, ...files, ...scripts];
  };

  it('leads only to what is there', () => {
    expect(pages).toContain('README.md');
    expect(
      broken(
        'docs/x.md',
        'see [a](../README.md#top), [b](gone.md), `base/fault.ts`, `base/gone.ts`, [c](https://kernel.org), `npm test`, `npm run gone`',
      ),
    ).toEqual(['docs/gone.md', 'base/gone.ts', 'gone']);
    for (const page of pages) expect(broken(page, readFileSync(page, 'utf8')), page).toEqual([]);
  });

  it('ARCHITECTURE.md is two screens', () => {
    expect(readFileSync('ARCHITECTURE.md', 'utf8').split('\n').length).toBeLessThanOrEqual(131);
  });
});

describe('the header', () => {
  it('shows an example that compiles, by the command it gives', ({ skip }) => {
    skip(!gcc, 'gcc is not installed');
    const [, text, command] = /Example\n \*\n((?: \*.*\n)+?) \* {3}(gcc .*)\n/.exec(
      readFileSync('include/static_call.h', 'utf8'),
    )!;
    using folder = project();
    folder.write('mix.c', text!.replace(/^ \* {0,3}/gm, ''));
    expect(shell(folder, command!)).toMatchObject({ status: 0, stderr: '' });
    expect(JSON.parse(shell(folder, 'static-call inspect --json libmix.so').stdout)).toMatchObject({
      files: [{ keys: [{ name: 'blend', sites: 1, target: 'blend_scalar' }] }],
    });
  });
});

describe.each([
  ['static-call', 'src/index.ts', 'open'],
  ['static-call/check', 'src/check/index.ts', 'check'],
])('the examples of what %s exports', (specifier, door, first) => {
  /** The names that a door exports, with the file that defines each. */
  const everything = (): { name: string; file: string; type: boolean }[] => {
    const text = readFileSync(door, 'utf8');
    const passed = [...text.matchAll(/^export (type )?\{([^}]*)\} from '(.*)\.js';$/gm)].flatMap(
      ([, all, names, from]) =>
        names!
          .split(',')
          .map((name) => name.trim())
          .filter((name) => name !== '')
          .map((name) => ({
            name: name.replace(/^type /, ''),
            file: join(door, '..', `${from}.ts`),
            type: all !== undefined || name.startsWith('type '),
          })),
    );
    return [
      ...passed,
      ...[...text.matchAll(/^export (?:async )?(function|class|const|interface|type) (\w+)/gm)].map(
        ([, kind, name]) => ({
          name: name!,
          file: door,
          type: kind === 'interface' || kind === 'type',
        }),
      ),
    ];
  };
  const exported = (): { name: string; file: string }[] => everything().filter(({ type }) => !type);
  /** The docstring before a definition. */
  const docstring = (file: string, name: string): string =>
    new RegExp(
      `/\\*\\*((?:(?!\\*/)[\\s\\S])*)\\*/\\s*export (?:async )?(?:declare )?(?:function|class|const|interface|type) ${name}\\b`,
    )
      .exec(readFileSync(file, 'utf8'))?.[1]
      ?.replace(/^\s*\* ?/gm, '') ?? '';
  const example = (text: string): string | undefined =>
    /^@example\s*([\s\S]*?)(?=^@|(?![\s\S]))/m.exec(text)?.[1];

  it('are there: each has a docstring, types too, each function an example', () => {
    const types = everything().filter(({ type }) => type);
    expect(types.length).toBeGreaterThan(5);
    expect(
      everything()
        .filter(({ name, file }) => docstring(file, name) === '')
        .map(({ name, file }) => `${name} in ${file}`),
    ).toEqual([]);
    expect(docstring('src/app/types.ts', 'NoSuchType')).toBe('');
    const names = exported();
    expect(names.map(({ name }) => name)).toContain(first);
    for (const { name, file } of names) {
      expect(docstring(file, name), `${name} in ${file}`).not.toBe('');
      if (
        new RegExp(`export (async )?function ${name}\\b`).test(readFileSync(file, 'utf8')) &&
        !name.startsWith('is')
      )
        expect(example(docstring(file, name)), name).toBeDefined();
    }
  });

  if (LONG || specifier === 'static-call')
    it('run', ({ skip }) => {
      skip(specifier === 'static-call' && !gcc, 'gcc is not installed');
      using folder = project();
      const names = exported();
      const bodies = names.flatMap(({ name, file }) => example(docstring(file, name)) ?? []);
      expect(bodies.length).toBeGreaterThan(1);
      const program = [
        `import { ${names.map(({ name }) => name).join(', ')} } from '${specifier}';`,
        `void [${names.map(({ name }) => name).join(', ')}];`,
      ];
      // Each in a block of its own; `app` is the open library where an example does not open it
      // itself.
      const around = { before: (_body: string): string => '', after: '' };
      if (specifier === 'static-call') {
        for (const file of ['filters.c', 'filters.keys.ts'])
          folder.write(file, readFileSync(`test/types/${file}`));
        expect(
          shell(
            folder,
            'gcc -O2 -shared -fPIC -I"$(static-call include)" filters.c -o libfilters.so',
          ),
        ).toMatchObject({ status: 0, stderr: '' });
        program.unshift("import type { Filters } from './filters.keys.js';");
        around.before = (body) =>
          /\bapp = /.test(body) ? '' : "const app = open<Filters>('./libfilters.so');\n";
        around.after = 'app.close();\n';
      }
      for (const body of bodies)
        program.push(
          `{\n${around.before(body)}${body.trim()}\n${around.after}console.log('done');\n}`,
        );
      folder.write('examples.ts', program.join('\n'));
      expect(runTypeScript(folder, 'examples.ts').match(/^done$/gm)).toHaveLength(bodies.length);
    });
});
