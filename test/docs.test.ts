// What the documentation shows is run: the README's program as it stands, and the examples of what
// the package exports.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { withPictures } from '../scripts/readme.mjs';
import { Folder, gcc, must } from './build.js';

/**
 * A folder in which `static-call` and what it needs are installed, and can be typed on a command
 * line.
 */
function project(): Folder {
  const folder = new Folder();
  mkdirSync(folder.file('node_modules/@types'), { recursive: true });
  symlinkSync(process.cwd(), folder.file('node_modules/static-call'));
  for (const name of ['koffi', '@types/node'])
    symlinkSync(join(process.cwd(), 'node_modules', name), folder.file(`node_modules/${name}`));
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
    env: { ...process.env, PATH: `${process.cwd()}/bin${delimiter}${process.env['PATH']}` },
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
  return must(process.execPath, [name.replace(/\.ts$/, '.js')], folder.path);
}

const fences = (text: string): { lang: string; name: string; body: string }[] =>
  [...text.matchAll(/^```(\w*) ?(\S*)\n([\s\S]*?)^```$/gm)].map(([, lang, name, body]) => ({
    lang: lang!,
    name: name!,
    body: body!,
  }));
const readme = readFileSync('README.md', 'utf8');

describe('the README', () => {
  const [c, ts] = ['c', 'ts'].map((lang) => fences(readme).filter((fence) => fence.lang === lang));
  const commands = fences(readme)
    .filter(({ lang }) => lang === 'sh')
    .flatMap(({ body }) => body.trim().split('\n'));

  it('opens with naive, and with the same schedule under int3, as the checker prints them now (node scripts/readme.mjs writes them)', async () => {
    expect(
      fences(readme)
        .slice(0, 2)
        .map(({ lang, name }) => `${lang} ${name}`),
    ).toEqual(['text naive', 'text int3']);
    expect(await withPictures(readme)).toBe(readme);
    const damaged = readme.replaceAll('●', '○');
    expect(await withPictures(damaged)).toBe(readme);
    for (const { body } of fences(readme).slice(0, 2)) {
      expect(body.trimEnd().split('\n').length).toBeLessThanOrEqual(15);
      expect(Math.max(...body.split('\n').map((line) => line.length))).toBeLessThanOrEqual(100);
    }
  });

  it('is one screen below its pictures: eight lines of C, one compile command, eight lines of TypeScript', () => {
    expect(readme.replaceAll(/^```text[^]*?^```$/gm, '').split('\n').length).toBeLessThan(80);
    expect([c!.length, ts!.length]).toEqual([1, 1]);
    expect([c![0]!.body, ts![0]!.body].map((body) => body.trimEnd().split('\n').length)).toEqual([
      8, 8,
    ]);
    expect(commands.filter((command) => command.startsWith('gcc'))).toHaveLength(1);
  });

  it('shows a program that does what it says', ({ skip }) => {
    skip(!gcc, 'gcc is not installed');
    using folder = project();
    for (const { name, body } of [...c!, ...ts!]) folder.write(name, body);
    for (const command of commands)
      expect(shell(folder, command), command).toMatchObject({ status: 0, stdout: '', stderr: '' });
    const promised = [...ts![0]!.body.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(
      (match) => match[1],
    );
    expect(new Set(promised).size).toBeGreaterThan(1);
    expect(runTypeScript(folder, ts![0]!.name)).toBe(`${promised.join('\n')}\n`);
    // It would be seen not to: a target that the program does not declare neither compiles nor
    // runs.
    folder.write('wrong.ts', ts![0]!.body.replace('blend_max', 'blend_min'));
    expect(() => runTypeScript(folder, 'wrong.ts')).toThrow(/"blend_min"' is not assignable/);
  });
});

describe('every page', () => {
  const pages = [...readdirSync('.'), ...readdirSync('docs').map((name) => `docs/${name}`)].filter(
    (name) => name.endsWith('.md'),
  );

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

  it('ARCHITECTURE.md has at most 300 lines', () => {
    expect(readFileSync('ARCHITECTURE.md', 'utf8').split('\n').length).toBeLessThanOrEqual(301);
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
