import { counted, type App, type Update } from '#index';
import { describe, expect, it } from 'vitest';

type Hooks = { trace: 'ring' | 'log' | null };

/** As much of a program as counting needs: one key, updates that can be undone. */
function program(): App<Hooks> {
  let target: Hooks['trace'] = null;
  const update = (targets: { trace?: Hooks['trace'] }): Update => {
    const [from, to] = [target, targets.trace ?? null];
    target = to;
    const undo = (): void => void (target = from);
    return {
      changes: [{ key: 'trace', from, to }],
      inline: 1,
      trampoline: 0,
      traps: 0,
      ns: 1,
      undo,
      [Symbol.dispose]: undo,
    };
  };
  const keys = {
    trace: {
      name: 'trace',
      targets: ['ring', 'log', null],
      sites: 1,
      get target() {
        return target;
      },
    },
  };
  return { keys, update } as unknown as App<Hooks>;
}

describe('counted users of a target', () => {
  it('the first sets it, the last takes it back, in whatever order they go', () => {
    const app = program();
    const tracing = counted(app, 'trace', 'ring');
    const [one, two] = [tracing.acquire(), tracing.acquire()];
    expect([app.keys.trace.target, tracing.users]).toEqual(['ring', 2]);
    one[Symbol.dispose]();
    one[Symbol.dispose]();
    expect([app.keys.trace.target, tracing.users]).toEqual(['ring', 1]);
    two[Symbol.dispose]();
    expect([app.keys.trace.target, tracing.users]).toEqual([null, 0]);
    tracing.acquire();
    expect(app.keys.trace.target).toBe('ring');
  });

  it('somebody who retargets the key past the counter is told, not overruled', () => {
    const app = program();
    const tracing = counted(app, 'trace', 'ring');
    const mine = tracing.acquire();
    app.update({ trace: 'log' });
    expect(() => tracing.acquire()).toThrow(expect.objectContaining({ code: 'busy' }));
    expect(() => mine[Symbol.dispose]()).toThrow(expect.objectContaining({ code: 'busy' }));
    expect(app.keys.trace.target).toBe('log');
  });
});
