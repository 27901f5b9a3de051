// What a search without bounds found, as a file that others verify: the states, and the four tables
// that lead from one to the next. `scripts/certify.mjs` reads it and knows nothing of this project:
// it looks whether the initial state is inside, whether no move leads out, and whether nothing that
// was claimed to hold is broken. docs/proof.md says what that certifies and what it does not.
//
// The states are those of the search by whole steps (`macro`), with every move taken: the set of a
// search that takes some moves alone is not closed under all of them. Of the lines behind the
// header, each has a letter and numbers:
//
//   part LEVEL TARGET P E C   the initial state of what follows: patcher, environment, CPU
//   A C ASKED                 whether a CPU has a request that it has not answered
//   B B C C'                  what a broadcast makes of a CPU
//   M C E (C' E' B BAD)*      the moves of a CPU; C' is -1 where it cannot go on, B where there is
//                             no broadcast; BAD is a set of bits, the names by the header's `names`
//   P P E (P' E' B ANSWERED)* the moves of the patcher; ANSWERED where no CPU may be asked
//   S P E C                   a state

import { createHash } from 'node:crypto';
import { Fault } from '../../base/fault.js';
import { CPU } from '../../machine/sim/model.js';
import { titled, type Proposal } from '../../zoo/proposal.js';
import { isEndless, type Configuration } from '../configuration.js';
import { PROPERTIES } from '../properties.js';
import { build } from '../search/build.js';
import { ClosedSet, PROMISES, watchedSets, type WatchedSet } from './closed.js';

/** Another one wherever the lines mean something else. */
export const CERTIFICATE_VERSION = 1;

/**
 * The text of a certificate.
 * @throws Fault `bad-usage` where the protocol is not one that holds for any number of everything
 */
export function certificate(
  proposal: Proposal,
  configuration: Configuration,
  statesMax: number,
): string {
  const { cpus, passes, updates, contexts, patcher } = configuration;
  const title = titled(proposal);
  const refuse = (why: string): never => {
    throw new Fault('bad-usage', `there is no certificate for ${title}: ${why}`);
  };
  if (!isEndless(configuration) || [cpus, passes, updates].some((bound) => bound !== 'any'))
    refuse('it is made of a search without bounds, so ask for --bounds any');
  if (contexts.includes('preempt') || patcher === 'task')
    refuse('it has one CPU, and no task that is switched or that patches');
  const split = !contexts.some((name) => ['nmi', 'nested-nmi', 'mc', 'db'].includes(name));
  const whole = build(proposal, configuration, { plain: false, split });
  const lines: string[] = [];
  let found = 0;
  const options = { cpus: 1, statesMax, stands: true, refuse };
  for (const part of watchedSets(whole, configuration, (model) => new ClosedSet(model, options))) {
    const { model, bad } = part.set;
    if (model.bufferMax !== Infinity) refuse("nothing drains the patcher's store buffer");
    for (const line of linesOf(part)) lines.push(line);
    found |= bad;
  }
  const fails = PROMISES.filter((_, i) => (found & (1 << i)) !== 0);
  for (const { name, apart } of PROPERTIES)
    if (!apart && fails.some((each) => each === name)) refuse(`${name} fails`);
  const applies = PROPERTIES.filter((property) => property.applies(configuration)).map(
    ({ name }) => name,
  );
  const holds = PROMISES.filter((name) => !fails.includes(name) && applies.includes(name));
  const body = `${lines.join('\n')}\n`;
  const header = {
    protocol: title,
    configuration,
    names: PROMISES,
    holds,
    fails,
    lines: lines.length,
    bytes: body.length,
    sha256: createHash('sha256').update(body).digest('hex'),
  };
  return `static-call-certificate ${CERTIFICATE_VERSION}\n${JSON.stringify(header)}\n${body}`;
}

/** The closed set of what one search watches. */
function* linesOf({ level, target, set }: WatchedSet): Generator<string> {
  const { moves, patching, broadcasts, bits, states } = set;
  yield `part ${level} ${target} ${states.get(0).join(' ')}`;
  for (const [cpu, bitsOf] of bits) yield `A ${cpu} ${bitsOf & CPU.asked}`;
  for (const [letter, rows] of [
    ['M', moves],
    ['P', patching],
    ['B', broadcasts],
  ] as const)
    for (const [one, two, row] of rows) yield [letter, one, two, ...row].join(' ');
  for (let at = 0; at < states.count; at++) yield `S ${states.get(at).join(' ')}`;
}
