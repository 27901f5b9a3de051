// Bundles dist/cli/beside.js and what it needs to dist/cli/beside.cjs, which bin/beside.cjs loads.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const folder = join(root, 'dist', 'cli');
await build({
  root,
  configFile: false,
  logLevel: 'error',
  build: {
    ssr: true,
    target: 'node20',
    outDir: folder,
    emptyOutDir: false,
    copyPublicDir: false,
    minify: true,
    rollupOptions: {
      input: join(folder, 'beside.js'),
      output: { format: 'cjs', entryFileNames: 'beside.cjs', codeSplitting: false },
    },
  },
});
