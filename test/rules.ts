// The rules of the house as functions from a tree of files to complaints, so that each can be shown
// a bad tree and be seen to complain. Imports are found by their text: the compiler has no
// interface for it, and the sources keep to forms that a line of pattern can read (`from '…'`,
// `import('…')`, `require('…')`, `new URL('…')`).

import { posix } from 'node:path';

/** Path from the root of the repository, with slashes, to content. */
export type Tree = ReadonlyMap<string, string>;

/** Rooms in the order of their floors. A room of several folders names the longest first. */
const FLOORS: readonly (readonly string[])[] = [
  ['src/base'],
  ['src/elf', 'src/asm'],
  ['src/x86'],
  ['src/sites'],
  ['src/keys'],
  ['src/trap'],
  ['src/plan'],
  ['src/native'],
  ['src/machine'],
  ['src/machine/linux'],
  ['src/machine/process', 'src/machine/sim'],
  ['src/machine/remote'],
  ['src/zoo'],
  ['src/check', 'src/inspect', 'src/app'],
  ['src/check/search', 'src/inspect/live'],
  ['src/check/explain'],
  ['src/check/ask', 'src/check/litmus'],
  ['src/check/queue'],
  ['src/view'],
  ['src/view/page'],
  ['src/host/silicon'],
  ['src/host'],
  ['src/bench'],
  ['src/cli'],
];
const FLOOR: ReadonlyMap<string, number> = new Map(
  FLOORS.flatMap((rooms, floor) => rooms.map((room) => [room, floor])),
);
/** Only re-exports and starts: a door may name every room. */
const DOORS = new Set(['src/index.ts', 'src/check/index.ts']);
/** A lower floor that a room may nevertheless not enter: the checker runs on every system. */
const CLOSED: readonly (readonly [room: string, to: string])[] = [
  ...[
    'src/check',
    'src/check/search',
    'src/check/explain',
    'src/check/ask',
    'src/check/litmus',
    'src/check/queue',
  ].flatMap((room) =>
    ['src/machine/process', 'src/machine/linux', 'src/app', 'src/inspect'].map(
      (to) => [room, to] as const,
    ),
  ),
  ...['src/machine/linux', 'src/machine/process', 'src/machine/sim', 'src/zoo'].map(
    (to) => ['src/inspect', to] as const,
  ),
  ...['src/zoo', 'src/machine/sim'].map((to) => ['src/app', to] as const),
  ...['src/view', 'src/view/page'].flatMap((room) =>
    ['src/machine/process', 'src/machine/linux', 'src/app', 'src/check/ask'].map(
      (to) => [room, to] as const,
    ),
  ),
  ['src/machine/sim', 'src/machine/linux'],
  ['src/zoo', 'src/machine/process'],
  ['src/zoo', 'src/machine/linux'],
];
/** The one file that knows an outside package. */
const DEPENDENCIES: ReadonlyMap<string, string> = new Map([
  ['koffi', 'src/machine/linux/native.ts'],
  ['@stricli/core', 'src/cli/app.ts'],
  ['lzma-native', 'src/inspect/unpack/lzma.ts'],
  ['fzstd', 'src/inspect/unpack/zstd.ts'],
  ['seek-bzip', 'src/inspect/unpack/bzip2.ts'],
  ['bullmq', 'src/check/queue/bull.ts'],
  ['ioredis', 'src/check/queue/bull.ts'],
]);

const isSource = (path: string): boolean => /^src\/.*\.tsx?$/.test(path) && !path.endsWith('.d.ts');

/** What the page is bundled with, so that it is none of the package's own. */
const BUNDLED = /^(preact(\/|$)|virtual:)/;
const PAGE = 'src/view/page/';

/** Without comments, so that an example in one is no import. */
function code(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
}

export interface Import {
  readonly to: string;
  /** Gone after compilation: it loads nothing. */
  readonly typeOnly: boolean;
}

export function importsOf(text: string): Import[] {
  const found: Import[] = [];
  const source = code(text);
  for (const match of source.matchAll(/\b(import|export)(\s+type\b)?[^;'"]*?from\s+'([^']+)'/g))
    found.push({ to: match[3]!, typeOnly: match[2] !== undefined });
  for (const match of source.matchAll(/(?:^|;)\s*import\s+'([^']+)'/gm))
    found.push({ to: match[1]!, typeOnly: false });
  for (const match of source.matchAll(/(typeof\s+)?\bimport\('([^']+)'\)(?!\.\w+[\s;>|&,)\]])/g))
    found.push({ to: match[2]!, typeOnly: match[1] !== undefined });
  for (const match of source.matchAll(/\brequire(?:\(import\.meta\.url\))?\('([^']+)'\)/g))
    found.push({ to: match[1]!, typeOnly: false });
  for (const match of source.matchAll(/\bcreateRequire\(import\.meta\.url\)\('([^']+)'\)/g))
    found.push({ to: match[1]!, typeOnly: false });
  // A file of a package that is no module, as a WebAssembly module is none.
  for (const match of source.matchAll(/\.resolve\('([^'/.]+)\/[^']+'\)/g))
    found.push({ to: match[1]!, typeOnly: false });
  for (const match of source.matchAll(/new URL\('(\.[^']+\.js)'/g))
    found.push({ to: match[1]!, typeOnly: false });
  return found;
}

const toSource = (from: string, to: string): string =>
  posix.join(posix.dirname(from), to).replace(/\.js(x?)$/, '.ts$1');

/** Imports between the sources of a tree: from, to. */
function edges(tree: Tree, { types }: { types: boolean }): (readonly [string, string])[] {
  const found: (readonly [string, string])[] = [];
  for (const [path, text] of tree) {
    if (!isSource(path)) continue;
    for (const { to, typeOnly } of importsOf(text)) {
      if (to.startsWith('.') && (types || !typeOnly)) found.push([path, toSource(path, to)]);
    }
  }
  return found;
}

const within = (room: string, path: string): boolean => path.startsWith(`${room}/`);

function roomOf(path: string): string | undefined {
  return [...FLOOR.keys()]
    .filter((room) => within(room, path))
    .sort((a, b) => b.length - a.length)[0];
}

export function floors(tree: Tree): string[] {
  const wrong: string[] = [];
  for (const path of tree.keys()) {
    if (isSource(path) && !DOORS.has(path) && roomOf(path) === undefined)
      wrong.push(`${path} is on no floor`);
  }
  for (const [from, to] of edges(tree, { types: true })) {
    if (!tree.has(to)) wrong.push(`${from} imports ${to}, which does not exist`);
    if (DOORS.has(from)) continue;
    if (DOORS.has(to)) wrong.push(`${from} imports the door ${to}`);
    const [a, b] = [roomOf(from), roomOf(to)];
    if (a === undefined || b === undefined || a === b) continue;
    const [up, down] = [FLOOR.get(a)!, FLOOR.get(b)!];
    if (down > up) wrong.push(`${from} imports ${to} from a higher floor`);
    else if (down === up) wrong.push(`${from} imports ${to} from the room beside it`);
    else if (CLOSED.some(([room, closed]) => room === a && closed === b))
      wrong.push(`${from} imports ${to}, a room that is closed to it`);
  }
  return wrong;
}

export function dependencies(tree: Tree, declared: readonly string[]): string[] {
  const wrong: string[] = [];
  const used = new Set<string>();
  for (const [path, text] of tree) {
    if (!isSource(path)) continue;
    for (const { to } of importsOf(text)) {
      if (to.startsWith('.') || to.startsWith('node:')) continue;
      if (BUNDLED.test(to) && path.startsWith(PAGE)) continue;
      used.add(to);
      if (DEPENDENCIES.get(to) !== path)
        wrong.push(`${path} imports ${to}: ${DEPENDENCIES.get(to) ?? 'no file'} may`);
    }
  }
  for (const name of declared)
    if (!used.has(name)) wrong.push(`package.json names ${name}, which no source imports`);
  for (const name of used)
    if (!declared.includes(name))
      wrong.push(`${name} is imported and package.json does not name it`);
  return wrong;
}

/**
 * Rooms that know nothing of Node, because the page that runs in a browser loads them. Files that
 * it has others in place of (view/page/instead), or does not load, may.
 */
const WITHOUT_NODE =
  /^src\/(elf|asm|x86|sites|keys|trap|plan|native|zoo|machine\/sim|check\/(search|explain)|inspect|view)\//;
const WITH_NODE =
  /^src\/(x86\/iced|elf\/write|check\/search\/(crew|hand|wasm)|inspect\/(files|live\/[\w-]+|unpack|unpack\/(bzip2|lzma|timed|zstd)))\.ts$/;

/** Node's own modules, and its Buffer, in rooms that run without Node. */
export function nodeFree(tree: Tree): string[] {
  const wrong: string[] = [];
  for (const [path, text] of tree) {
    if (!isSource(path) || !WITHOUT_NODE.test(path) || WITH_NODE.test(path)) continue;
    if (/\bBuffer\b/.test(code(text))) wrong.push(`${path} uses Buffer, and must run without Node`);
    for (const { to } of importsOf(text))
      if (to.startsWith('node:')) wrong.push(`${path} imports ${to}, and must run without Node`);
  }
  return wrong;
}

/** A circle of imports, type-only ones included: neither file can be read without the other. */
export function cycles(tree: Tree): string[] {
  const next = new Map<string, string[]>();
  for (const [from, to] of edges(tree, { types: true }))
    next.set(from, [...(next.get(from) ?? []), to]);
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const seen = trail.indexOf(path);
    if (seen >= 0) {
      found.push([...trail.slice(seen), path].join(' -> '));
      return;
    }
    if (done.has(path)) return;
    for (const to of next.get(path) ?? []) visit(to, [...trail, path]);
    done.add(path);
  };
  for (const path of next.keys()) visit(path, []);
  return found;
}

/** Sources that nothing reaches from the doors. */
export function dead(tree: Tree, doors: readonly string[]): string[] {
  const next = new Map<string, string[]>();
  for (const [from, to] of edges(tree, { types: true }))
    next.set(from, [...(next.get(from) ?? []), to]);
  const reached = new Set<string>();
  const queue = doors.filter((door) => tree.has(door));
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (reached.has(path)) continue;
    reached.add(path);
    queue.push(...(next.get(path) ?? []));
  }
  return [...tree.keys()]
    .filter((path) => isSource(path) && !reached.has(path))
    .map((path) => `nothing imports ${path}`);
}

interface Ban {
  readonly what: string;
  readonly pattern: RegExp;
  /** Where the rule holds; everywhere unless told. */
  readonly where?: RegExp;
  readonly except?: RegExp;
}
// Each pattern is written so that it does not find itself.
const BANS: readonly Ban[] = [
  { what: 'an unfinished thought', pattern: /\b(TO[D]O|FIXM[E]|XX[X]|HAC[K])\b/ },
  { what: 'a path of one machine', pattern: /(?<![\w.])\/(wor[k]|hom[e]|User[s]|roo[t])\/\w/ },
  { what: 'a folder beside the checkout', pattern: /\.\.\/share[d]\b/, except: /^\.ci\// },
  {
    what: 'a link to a place that readers cannot know',
    pattern:
      /\bhttps?:\/\/(?!(?:[\w-]+\.)*(?:kernel\.org|lkml\.iu\.edu|mail-archive\.com|github\.com|w3\.org|intel\.com|amd\.com|nodejs\.org|opensource\.org|debian\.org|json-schema\.org)\b)[\w.-]+/,
  },
  {
    what: 'how the text came about',
    pattern:
      /\b(this s[e]ssion|(another|sub|an? A[I]) ?a[g]ent|A[I] assistan[t]|language mode[l]|LL[M]s?|far[m]-\w+|lan[d]\.sh|BRIE[F]\.md|DESIG[N]\.md|ECOSYSTE[M]\.md|STYL[E]\.md|MODE[L]\.md|issue #?[1-9])\b/,
  },
  {
    what: 'a word for what is only checked',
    pattern: /\b(prove[ns]?|proves)\b(?! to be told)/i,
    where: /^(src|docs|include|examples)\/|^[A-Z]+\.md$/,
  },
  {
    what: 'the word of a search without bounds',
    pattern: /\bproved\b/i,
    where: /^(src|docs|include|examples)\/|^[A-Z]+\.md$/,
    except:
      /^(src\/check\/|src\/cli\/(app|commands\/check)\.ts|docs\/(proof|verdicts|README)\.md|[A-Z]+\.md)/,
  },
];

export function words(tree: Tree): string[] {
  const wrong: string[] = [];
  for (const [path, text] of tree) {
    for (const { what, pattern, where, except } of BANS) {
      if (path === 'package-lock.json' || path === 'test/rules.ts') continue;
      if ((where && !where.test(path)) || except?.test(path)) continue;
      text.split('\n').forEach((line, index) => {
        const match = pattern.exec(line);
        if (match) wrong.push(`${path}:${index + 1}: ${what}: ${match[0]}`);
      });
    }
  }
  return wrong;
}

/** Names that say nothing about what is inside. */
export function names(tree: Tree): string[] {
  return [...tree.keys()]
    .filter((path) => /(^|\/)(utils?|helpers?|common|manager|misc|stuff)(\.\w+)*(\/|$)/.test(path))
    .map((path) => `${path}: a name that says nothing`);
}

/** As vitest reads them, as far as the patterns of this project go. */
export function glob(pattern: string): RegExp {
  const escaped = pattern.replace(/[.+^$()|[\]\\]/g, '\\$&');
  return new RegExp(
    `^${escaped.replace(/\*\*\/?|\*|\{([^}]*)\}/g, (token, names?: string) => (token.startsWith('**') ? '(?:.*/)?' : token === '*' ? '[^/]*' : `(?:${names!.split(',').join('|')})`))}$`,
  );
}

export interface Collection {
  readonly include: readonly string[];
  readonly exclude?: readonly string[];
}

/**
 * Files under test/ that no run collects and no collected file names, and files that two runs
 * collect.
 */
export function uncollected(
  tree: Tree,
  collections: readonly Collection[],
  also: readonly string[],
): string[] {
  const wrong: string[] = [];
  const all = [...tree.keys()].filter((path) => path.startsWith('test/'));
  const reached = new Set<string>(also);
  for (const path of all) {
    const by = collections.filter(
      ({ include, exclude = [] }) =>
        include.some((p) => glob(p).test(path)) &&
        !exclude.some((p) => glob(p.replace(/\*\*$/, '**/*')).test(path)),
    );
    if (by.length > 0) reached.add(path);
    if (by.length > 1) wrong.push(`${path} would run ${by.length} times`);
  }
  const queue = [...reached];
  for (let from = queue.pop(); from !== undefined; from = queue.pop()) {
    const text = tree.get(from) ?? '';
    for (const path of all) {
      if (reached.has(path)) continue;
      const base = posix.basename(path);
      // By its own name (`./line.js` names line.ts), or by its folder's where a test makes up the
      // names of files in it.
      const named = [base, base.replace(/\.ts$/, '.js')].some(
        (name) =>
          text.includes(`/${name}'`) || text.includes(`'${name}'`) || text.includes(`/${name}\``),
      );
      const folder = posix.basename(posix.dirname(path));
      if (named || (!base.endsWith('.ts') && new RegExp(`['/]${folder}['/]`).test(text))) {
        reached.add(path);
        queue.push(path);
      }
    }
  }
  return [
    ...wrong,
    ...all
      .filter((path) => !reached.has(path))
      .map((path) => `${path} is neither collected nor named`),
  ];
}

/** `static-call NAME` in text a user reads, where there is no such command. */
export function commands(tree: Tree, known: readonly string[]): string[] {
  const wrong: string[] = [];
  for (const [path, text] of tree) {
    if (!/^(src|docs|include|examples)\/|^[A-Z]+\.md$/.test(path)) continue;
    for (const match of text.matchAll(
      /(?:^|[`('"\s$/])static-call ([a-z]+)(?=[\s`)'"]|$)(?![`']? (?:is|are)\b)/gm,
    )) {
      const line =
        text.slice(0, match.index).split('\n').length + (match[0].startsWith('\n') ? 1 : 0);
      // In prose the project's name stands before a verb; a command stands in code, or after a
      // prompt or a bracket.
      const lineText = text.split('\n')[line - 1] ?? '';
      const quoted = new RegExp(
        `[\`('"/]static-call ${match[1]}|^\\s*(\\$ )?(bin/)?static-call ${match[1]}|see static-call ${match[1]}`,
      ).test(lineText);
      if (quoted && !known.includes(match[1]!))
        wrong.push(`${path}:${line}: there is no command ${match[1]}`);
    }
  }
  return wrong;
}

/**
 * Codes of faults that no source throws, and codes that no test names: what cannot be provoked is a
 * promise.
 */
export function unprovoked(tree: Tree, codes: readonly string[]): string[] {
  const all = (part: (path: string) => boolean): string =>
    [...tree]
      .filter(([path]) => part(path))
      .map(([, text]) => text)
      .join('\n');
  const thrown = all((path) => isSource(path) && path !== 'src/base/fault.ts');
  const tested = all((path) => path.startsWith('test/') && path !== 'test/tidy.test.ts');
  return [
    ...codes
      .filter((code) => !thrown.includes(`'${code}'`) && !thrown.includes(`error[${code}]`))
      .map((code) => `nothing throws ${code}`),
    ...codes.filter((code) => !tested.includes(code)).map((code) => `no test provokes ${code}`),
  ];
}
