// One live line on stderr, drawn over itself, ten times a second at most; nothing at all where
// stderr is no terminal, so that a log never holds it. It owns no timer: the command says when
// there is news.

import { performance } from 'node:perf_hooks';
import { clipped, printable } from '../base/printable.js';
import type { Context } from './context.js';

const PERIOD_MS = 100;

export interface Progress extends Disposable {
  /** `text` is made only when it will be drawn. */
  show(text: () => string): void;
  /** Removes the line; the command's answer follows. */
  end(): void;
}

export function progress(context: Pick<Context, 'stderr'>): Progress {
  const { stderr } = context;
  let drawnMs = -Infinity;
  let drawn = false;
  const end = (): void => {
    if (drawn) stderr.write('\r\x1b[2K');
    drawn = false;
  };
  return {
    show(text) {
      const nowMs = performance.now();
      if (!stderr.isTTY || nowMs - drawnMs < PERIOD_MS) return;
      drawnMs = nowMs;
      drawn = true;
      // Cut to the terminal: a line that wraps cannot be drawn over.
      const line = clipped(printable(text()), (stderr.columns ?? 80) - 1);
      stderr.write(`\r\x1b[2K${line}`);
    },
    end,
    [Symbol.dispose]: end,
  };
}
