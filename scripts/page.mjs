// Builds dist/view.html out of src/view: the page, its two workers and the WebAssembly of both in
// one file, which needs no server and asks for nothing. The workers and the WebAssembly are packed
// (gzip, base64) and unpacked by the page that needs them.

import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const page = join(root, 'src', 'view', 'page');

/** Modules of ours that need Node, and what the page has in their place. */
const INSTEAD = new Map([
  [join(root, 'src', 'x86', 'iced.ts'), join(page, 'instead', 'iced.ts')],
  [join(root, 'src', 'inspect', 'unpack.ts'), join(page, 'instead', 'unpack.ts')],
  [join(root, 'src', 'check', 'search', 'crew.ts'), join(page, 'instead', 'crew.ts')],
  [join(root, 'src', 'check', 'search', 'wasm.ts'), join(page, 'instead', 'wasm.ts')],
]);

/** @param {Record<string, string>} made modules that exist only here, by name */
const plugin = (made) => ({
  name: 'static-call',
  enforce: 'pre',
  async resolveId(to, from) {
    if (to in made) return `\0${to}`;
    if (from === undefined || !to.startsWith('.')) return null;
    const found = await this.resolve(to, from, { skipSelf: true });
    return found && (INSTEAD.get(found.id) ?? null);
  },
  load: (id) => (id.startsWith('\0virtual:') ? made[id.slice(1)] : null),
});

/** @returns the script of an entry, and the style that it imports */
async function bundle(entry, made) {
  const result = await build({
    root: page,
    configFile: false,
    logLevel: 'error',
    plugins: [plugin(made)],
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
    define: { 'process.env.NODE_ENV': '"production"' },
    build: {
      write: false,
      target: 'es2023',
      modulePreload: false,
      rollupOptions: { input: join(page, entry), output: { format: 'iife' } },
    },
  });
  const { output } = Array.isArray(result) ? result[0] : result;
  const [script] = output.filter(({ type }) => type === 'chunk');
  return script.code;
}

const packed = (bytes) => gzipSync(bytes, { level: 9 }).toString('base64');
const exported = (values) =>
  Object.entries(values)
    .map(([name, value]) => `export const ${name} = ${JSON.stringify(value)};`)
    .join('\n');

/** What the first visit shows: a call torn by stores of single bytes, found now. */
async function example() {
  const { check } = await import('../dist/check/index.js');
  const { runs } = await check(['naive'], {
    environment: 'user',
    contexts: ['task'],
    passes: 1,
    updates: 1,
    explained: ['torn'],
  });
  return runs[0].properties.torn.path;
}

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const decoder = readFileSync(join(root, 'dist', 'x86', 'decoder.wasm'));
const engine = readFileSync(join(root, 'dist', 'check', 'search', 'engine.wasm'));
// Each of the three imports what imports it; where nothing searches, it is left out again.
const searched = { 'virtual:engine': exported({ ENGINE: engine.toString('base64') }) };
const [search, files] = await Promise.all([
  bundle('search-worker.ts', searched),
  bundle('file-worker.ts', searched),
]);
const script = await bundle('main.tsx', {
  ...searched,
  'virtual:example': exported({ EXAMPLE: await example(), VERSION: version }),
  'virtual:packed': exported({
    SEARCH_WORKER: packed(search),
    FILE_WORKER: packed(files),
    DECODER: packed(decoder),
  }),
});
const style = readFileSync(join(page, 'style.css'), 'utf8');
const html = readFileSync(join(page, 'index.html'), 'utf8')
  .replace('/*STYLE*/', () => style)
  .replace('/*SCRIPT*/', () => script.replaceAll('</script', '<\\/script'));
writeFileSync(join(root, 'dist', 'view.html'), html);
