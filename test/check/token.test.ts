// A token may come from anywhere: what is printed of it is what its path comes to here.

import { describe, expect, it } from 'vitest';
import { configure } from '#check/configuration';
import { decodeToken, encodeToken, type Token } from '#check/explain/token';
import { replayToken, replayUnder } from '#check/explain/replay';
import { report } from '#check/explain/report';
import { run } from '#check/search/run';
import { findProposal } from '#zoo/index';
import { line } from '../cli/line.js';

const limits = { states: 1e6, seconds: 60 };
const small = { passes: 1, updates: 1 } as const;
const PATCHER = { who: -1, move: 0, swap: -1 };

function tokenOf(name: string, property: 'torn' | 'stack' | 'deadlock' | 'after-update'): string {
  const [protocol = name, variant = ''] = name.split('/');
  const proposal = findProposal(protocol, variant, undefined);
  const configuration = configure({ environment: proposal.environment, ...small });
  return report(run(proposal, configuration, limits), [property]).properties[property].path!;
}
/** What a token for int3 says that somebody wrote by hand: three steps of the patcher, and a claim. */
const forged: Token = {
  protocol: 'int3',
  variant: '',
  property: 'torn',
  configuration: configure({ environment: 'user', ...small }),
  split: true,
  own: null,
  path: [PATCHER, PATCHER, PATCHER],
};
const claiming = (token: Token, text: string): string => {
  const [version, body] = encodeToken(token).split('.') as [string, string];
  const fields = JSON.parse(Buffer.from(body, 'base64url').toString()) as object;
  return `${version}.${Buffer.from(JSON.stringify({ ...fields, text })).toString('base64url')}`;
};

describe('a path in a token', () => {
  it('that violates nothing is refused, whatever the token claims', async () => {
    const token = claiming(forged, 'a mixture is executed: e8 08 03 02 01');
    expect(() => replayToken(token)).toThrow(
      expect.objectContaining({ code: 'bad-usage', message: 'the path violates no property' }),
    );
    expect(() => replayUnder(token, 'naive')).toThrow(/violates no property/);
    const { status, stdout, stderr } = await line(['check', '--path', token]);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).not.toMatch(/torn|mixture/);
  });

  it('is reported as what it violates, not as what the token says', async () => {
    const real = tokenOf('naive', 'torn');
    const claim = `\x1b]0;pwned\x07\x1b[2Jpwned`;
    const token = claiming({ ...decodeToken(real), property: claim }, claim);
    expect(replayToken(token)).toEqual(replayToken(real));
    const { status, stdout } = await line(['check', '--path', token]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^naive: torn$/m);
    expect(stdout).not.toMatch(/pwned/);
  });

  it('that ends in a deadlock is found to be one, because nothing can follow', () => {
    const real = tokenOf('int3-gap/spin', 'deadlock');
    const path = replayToken(real);
    expect([path.property, path.picture]).toEqual([
      'deadlock',
      expect.stringMatching(/= deadlock: nothing can make progress: the patcher waits at/),
    ]);
    const { path: choices, ...rest } = decodeToken(real);
    const shorter = encodeToken({ ...rest, path: choices.slice(0, 1) });
    expect(() => replayToken(shorter)).toThrow(/violates no property/);
  });

  it('whose protocol came with it is said to be nobody we know, whatever its name', async () => {
    const { protocol } = findProposal('naive', '', 'user');
    const configuration = configure({ environment: 'user', ...small });
    const own = { ...findProposal('naive', '', 'user'), protocol: { ...protocol, name: 'int3' } };
    const { properties } = report(run({ ...own, name: 'int3' }, configuration, limits), ['torn']);
    const token = properties.torn.path!;
    expect(replayToken(token)).toMatchObject({ protocol: 'int3', own: true, property: 'torn' });
    const { stdout } = await line(['check', '--path', token]);
    expect(stdout).toMatch(/^int3 \(a protocol that came with the path\): torn$/m);
  });

  it('of no step is a path too', () => {
    expect(decodeToken(encodeToken({ ...forged, path: [] })).path).toEqual([]);
  });

  it.each([['path'], ['path2.!'], ['path1.e30'], ['path2.e30'], ['path2.bnVsbA']])(
    '%s is refused',
    (text) => {
      expect(() => decodeToken(text)).toThrow(expect.objectContaining({ code: 'bad-usage' }));
    },
  );
});
