import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    /** A folder for what several test files compile, removed after the run. */
    readonly room: string;
  }
}

/**
 * Tests import what ships (`#*` is `dist`), so the build is made current before the first of them.
 */
export default function setup({ provide }: TestProject): () => void {
  const built = spawnSync(process.execPath, ['scripts/setup.mjs'], { stdio: ['ignore', 2, 2] });
  if (built.status !== 0) throw new Error(`the build failed with status ${built.status}`);
  const room = mkdtempSync(join(tmpdir(), 'static-call-test-'));
  provide('room', room);
  return () => rmSync(room, { recursive: true, force: true });
}
