// A reporter: after the run it lists the tests that were skipped, by their reason, so that a machine without
// clang is told from a machine where everything ran.

import type { Reporter, TestModule } from 'vitest/node';

export default class Skipped implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const reasons = new Map<string, number>();
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const result = test.result();
        if (result.state !== 'skipped') continue;
        const reason = `${result.note ?? 'no reason given'} (${module.moduleId.slice(module.moduleId.lastIndexOf('/test/') + 1)})`;
        reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      }
    }
    if (reasons.size === 0) return;
    console.log(['Skipped:', ...[...reasons].sort().map(([reason, count]) => `  ${String(count).padStart(3)}  ${reason}`)].join('\n'));
  }
}
