import { describe, expect, it } from 'vitest';
import { configure, type Configuration } from '#check/configuration';
import { check } from '#check/index';
import { run } from '#check/search/run';
import { PROPOSALS } from '#zoo/index';

const limits = { states: 5_000_000, seconds: 60 };

function verdicts(
  name: string,
  variant: string,
  given: Partial<Configuration>,
): Record<string, string> {
  const proposal = PROPOSALS.find(
    (each) =>
      each.name === name &&
      each.variant === variant &&
      each.environment === (given.environment ?? 'kernel'),
  );
  if (proposal === undefined) throw new Error(`no proposal ${name} ${variant}`);
  return Object.fromEntries(
    [...run(proposal, configure(given), limits).properties].map(([property, { verdict }]) => [
      property,
      verdict,
    ]),
  );
}

describe('what the search decides', () => {
  it('a plain write is torn, and at every fetch level, for whole instructions are fetched between its bytes', () => {
    for (const fetch of ['F0', 'F1', 'F1d', 'F1a', 'F2', 'F3', 'F4'] as const)
      expect(verdicts('naive', '', { fetch }).torn).toBe('fails');
  });

  it('one store inside a line holds where a line is fetched whole, and is torn byte by byte', () => {
    const byLine = { chunk: 'line', contexts: ['task'] } as const;
    expect(verdicts('store', 'in-line', byLine).torn).toBe('holds');
    // It lies over the end of a quadword, of 16 bytes and of 32: what a CPU must fetch whole is the
    // line.
    for (const chunk of ['qword', 'fetch16', 'fetch32'] as const)
      expect(verdicts('store', 'in-line', { ...byLine, chunk }).torn).toBe('fails');
    expect(verdicts('store', '', { ...byLine, chunk: 'qword' }).torn).toBe('holds');
    expect(verdicts('store', '', { ...byLine, chunk: 'byte' }).torn).toBe('fails');
    expect(verdicts('store', 'forced', byLine).torn).toBe('fails');
  });

  it('the merged way holds in task, interrupt and NMI', () => {
    const found = verdicts('int3-gap', '', { contexts: ['task', 'irq', 'nmi'] });
    for (const property of [
      'torn',
      'target',
      'after-update',
      'stack',
      'flags',
      'lockdep',
      'deadlock',
      'indirect-branch',
      'stray-trap',
    ])
      expect(found[property], property).toBe('holds');
    expect(found['indirect-branch-strict']).toBe('fails');
    expect(found['slot']).toBe('not-applicable');
  });

  it('without the gap the pushed return address lands in the exception frame', () => {
    expect(verdicts('int3-gap', 'no-gap', {}).stack).toBe('fails');
  });

  it('without its last synchronisation a torn-down table meets a stale trap, and a permanent one does not', () => {
    expect(verdicts('int3-gap', '', { dropSync: 3 })['stray-trap']).toBe('fails');
    expect(verdicts('int3-gap', 'permanent', { dropSync: 3 })['stray-trap']).toBe('holds');
  });

  it('as the kernel updates a static call, a cycle for the trampoline and then one for each site, each synchronisation is needed', () => {
    const given = { passes: 1, updates: 1 } as const;
    const whole = verdicts('int3-gap', 'each-site', given);
    for (const property of ['torn', 'target', 'after-update', 'stray-trap', 'deadlock'])
      expect(whole[property], property).toBe('holds');
    const without = (dropSync: number) => verdicts('int3-gap', 'each-site', { ...given, dropSync });
    expect(without(1).torn).toBe('fails');
    expect(without(2).torn).toBe('fails');
    expect(without(3)['stray-trap']).toBe('fails');
  });

  it('on one CPU the writes of CR3 around the stores stand for a synchronisation', () => {
    const given = {
      patcher: 'task',
      contexts: ['task', 'preempt'],
      passes: 1,
      updates: 1,
      cpus: 1,
      tasks: 1,
      dropSync: 3,
    } as const;
    expect(verdicts('int3-gap', 'counted', given)['stray-trap']).toBe('fails');
    expect(verdicts('int3-gap', 'own-space', given)['stray-trap']).toBe('holds');
    // They reach no other CPU.
    const two = { ...given, cpus: 2, tasks: 2, contexts: ['task'] } as const;
    expect(verdicts('int3-gap', 'own-space', two)['stray-trap']).toBe('fails');
  });

  it('what ships holds in a process, and only the strict promise needs a second update to break', () => {
    const two = verdicts('int3', '', { environment: 'user' });
    for (const property of [
      'torn',
      'target',
      'after-update',
      'stack',
      'flags',
      'stray-trap',
      'deadlock',
    ])
      expect(two[property], property).toBe('holds');
    expect(two['after-update-strict']).toBe('fails');
    expect(verdicts('int3', '', { environment: 'user', updates: 1 })['after-update-strict']).toBe(
      'holds',
    );
  });
});

describe('a site by the cheapest way that is right for it', () => {
  const counted = ['torn', 'target', 'after-update', 'stack', 'flags', 'stray-trap', 'deadlock'];
  const wrong = (variant: string, given: Partial<Configuration>): string[] => {
    const found = verdicts('auto', variant, { environment: 'user', ...given });
    return counted.filter((name) => found[name] !== 'holds');
  };

  it('holds for a hook at every form, byte by byte, and however stale', () => {
    for (const site of ['hook', 'jmp-hook', 'call6-hook', 'jmp6-hook'] as const)
      for (const fetch of ['F1a', 'F3'] as const) expect(wrong('', { site, fetch })).toEqual([]);
    for (const site of ['null', 'jmp-null', 'call6-null', 'jmp6-null'] as const)
      expect(wrong('', { site })).toEqual([]);
  });
  it('asks more of the hardware where a store changes several bytes: a quadword whole', () => {
    expect(wrong('in-quadword', { site: 'call' })).toContain('torn');
    expect(wrong('in-quadword', { site: 'call', chunk: 'qword' })).toEqual([]);
    expect(wrong('procmem', { site: 'null' })).toEqual([]);
  });
  it('shares its synchronisations between sites that go different ways', () => {
    expect(wrong('byte-and-trap', { site: 'null', updates: 1 })).toEqual([]);
    expect(wrong('byte-and-trap', { site: 'hook', updates: 1 })).toEqual([]);
    expect(wrong('store-and-trap', { site: 'call', updates: 1, chunk: 'qword' })).toEqual([]);
    expect(wrong('byte-and-store', { site: 'null', updates: 1, chunk: 'qword' })).toEqual([]);
  });
  it("is no more than Intel's letter grants only where the byte is int3", () => {
    expect(wrong('', { site: 'hook', fetch: 'F4' })).toContain('torn');
    expect(wrong('', { site: 'call', fetch: 'F4' })).toEqual([]);
  });
  it('needs its last synchronisation where it trapped only to keep traps from coming late', () => {
    const late = (dropSync: number | null) =>
      verdicts('int3', '', { environment: 'user', updates: 1, dropSync })['trap-after-return'];
    expect([late(null), late(3)]).toEqual(['holds', 'fails']);
    expect(verdicts('int3', 'two-syncs', { environment: 'user' })['after-update']).toBe('holds');
  });
});

describe('a verdict', () => {
  it('comes from the search alone, and is explained where that is asked for', async () => {
    const { runs } = await check(['naive'], { passes: 1, updates: 1, explained: ['torn'] });
    const { torn, target, ...rest } = runs[0]!.properties;
    expect(torn).toMatchObject({ verdict: 'fails', picture: expect.any(String) as string });
    expect(target).toEqual({ verdict: 'unknown', beyond: ['torn'] });
    for (const { verdict, story, path, picture } of [target, ...Object.values(rest)]) {
      expect(verdict).toMatch(/unknown|fails|not-applicable/);
      expect([story, path, picture]).toEqual([undefined, undefined, undefined]);
    }
  });
});
