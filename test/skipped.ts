// A reporter: after the run it lists the tests that were skipped, by their reason, so that a
// machine without clang is told from a machine where everything ran. The reason is the note given
// to `skip`, else the condition of the `skipIf` that stands where the test or its suite is written
// (includeTaskLocation tells where).

import { readFileSync } from 'node:fs';
import type { Reporter, TestCase, TestModule, TestSuite } from 'vitest/node';

function condition(test: TestCase): string | undefined {
  for (
    let task: TestCase | TestSuite | TestModule = test;
    task.type !== 'module';
    task = task.parent
  ) {
    const source =
      task.location &&
      readFileSync(test.module.moduleId, 'utf8').split('\n')[task.location.line - 1];
    const match = source && /\.(skip|run)If\((.*?)\)[.(]/.exec(source);
    if (match) return match[1] === 'skip' ? `where ${match[2]}` : `unless ${match[2]}`;
  }
  return undefined;
}

export default class Skipped implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const reasons = new Map<string, number>();
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const result = test.result();
        if (result.state !== 'skipped') continue;
        const reason = `${result.note ?? condition(test) ?? 'not asked for'} (${module.moduleId.slice(module.moduleId.lastIndexOf('/test/') + 1)})`;
        reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      }
    }
    if (reasons.size === 0) return;
    console.log(
      [
        'Skipped:',
        ...[...reasons]
          .sort()
          .map(([reason, count]) => `  ${String(count).padStart(3)}  ${reason}`),
      ].join('\n'),
    );
  }
}
