import { spawnSync } from 'node:child_process';

/** Tests import what ships (`#*` is `dist`), so the build is made current before the first of them. */
export default function setup(): void {
  const built = spawnSync(process.execPath, ['scripts/setup.mjs'], { stdio: ['ignore', 2, 2] });
  if (built.status !== 0) throw new Error(`the build failed with status ${built.status}`);
}
