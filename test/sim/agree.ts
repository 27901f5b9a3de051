import { configure, type Configuration } from '#check/configuration';
import { run } from '#check/search/run';
import type { Proposal } from '#zoo/index';

/** Verdicts that some reduction and the plain search disagree on; none is as it should be. */
export function disagreements(proposal: Proposal, size: Partial<Configuration>): string[] {
  const of = (reduce: Configuration['reduce']) =>
    run(proposal, configure({ ...size, environment: proposal.environment, reduce }), {
      states: 20_000_000,
      seconds: 400,
    });
  const plain = of('none');
  if (plain.stopped !== null) return [`the plain search did not end: ${plain.stopped}`];
  return (['macro', 'sym', 'por'] as const).flatMap((reduce) =>
    [...of(reduce).properties].flatMap(([name, { verdict, story }]) => {
      const expected = plain.properties.get(name);
      return expected?.verdict === verdict
        ? []
        : [
            `${reduce}, ${name}: ${verdict} (${story ?? ''}); plain: ${expected?.verdict} (${expected?.story ?? ''})`,
          ];
    }),
  );
}
