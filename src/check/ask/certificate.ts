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
import { REQUEST, type Model } from '../../machine/sim/model.js';
import { BREACHES, type PromiseName } from '../../machine/sim/promises.js';
import { titled, type Proposal } from '../../zoo/proposal.js';
import { isEndless, targetsOf, type Configuration } from '../configuration.js';
import { PROPERTIES } from '../properties.js';
import { build } from '../search/build.js';
import { setOf, watched } from '../search/endless.js';
import { StateTable } from '../search/table.js';

/** Another one wherever the lines mean something else. */
export const CERTIFICATE_VERSION = 1;

const NAMES = [...new Set(Object.values(BREACHES))];
const bitsOf = (bad: readonly { readonly property: PromiseName }[]): number =>
  bad.reduce((bits, { property }) => bits | (1 << NAMES.indexOf(property)), 0);

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
  const levels = new Set([0]);
  const rest = ~targetsOf(configuration).reduce((set, target) => set | setOf(target), 0);
  let found = 0;
  for (const level of levels)
    for (const target of watched(configuration)) {
      const model = whole.watching({ level, targets: setOf(target) | rest });
      const part = new Part(model, statesMax, refuse);
      const [first = '', ...tables] = part.lines();
      lines.push(`part ${level} ${target} ${first}`, ...tables);
      found |= part.bad;
      for (const each of model.levels) levels.add(each);
    }
  const fails = NAMES.filter((_, i) => (found & (1 << i)) !== 0);
  for (const { name, apart } of PROPERTIES)
    if (!apart && fails.some((each) => each === name)) refuse(`${name} fails`);
  const applies = PROPERTIES.filter((property) => property.applies(configuration)).map(
    ({ name }) => name,
  );
  const holds = NAMES.filter((name) => !fails.includes(name) && applies.includes(name));
  const body = `${lines.join('\n')}\n`;
  const header = {
    protocol: title,
    configuration,
    names: NAMES,
    holds,
    fails,
    lines: lines.length,
    bytes: body.length,
    sha256: createHash('sha256').update(body).digest('hex'),
  };
  return `static-call-certificate ${CERTIFICATE_VERSION}\n${JSON.stringify(header)}\n${body}`;
}

/** The closed set of what one search watches. */
class Part {
  readonly #model: Model;
  readonly #states = new StateTable(3);
  readonly #tables = new Map<string, string>();
  readonly #next = new Int32Array(3);
  /** Promises that some move breaks. */
  bad = 0;

  constructor(model: Model, statesMax: number, refuse: (why: string) => never) {
    this.#model = model;
    this.#next.set(model.initial(1, 0));
    this.#states.intern(this.#next, -1);
    for (let at = 0; at < this.#states.count; at++) {
      if (this.#states.count > statesMax) refuse(`it has more than ${statesMax} states`);
      const [patcher = 0, environment = 0, cpu = 0] = this.#states.get(at);
      const unknown = this.#cpu(patcher, environment, cpu);
      if (unknown !== null) refuse(unknown);
      this.#patcher(patcher, environment, cpu);
      if (model.cpusWrite) refuse('its handlers write what other CPUs read, so CPUs are counted');
    }
    if (model.bufferMax !== Infinity) refuse("nothing drains the patcher's store buffer");
  }

  *lines(): Iterable<string> {
    yield this.#states.get(0).join(' ');
    for (const [key, row] of this.#tables) yield `${key}${row}`;
    for (let at = 0; at < this.#states.count; at++) yield `S ${this.#states.get(at).join(' ')}`;
  }

  #visit(patcher: number, environment: number, cpu: number): void {
    this.#next.set([patcher, environment, cpu]);
    this.#states.intern(this.#next, -1);
  }

  /** @returns what the model does not know, if it came to that */
  #cpu(patcher: number, environment: number, cpu: number): string | null {
    const { table } = this.#model;
    const row = this.#model.moves(cpu, environment);
    const said: number[] = [];
    let unknown: string | null = null;
    for (let move = table.first(row); move < table.end(row); move++) {
      const { cpu: to, environment: env, broadcast, bad, action } = table.get(move);
      unknown ??= action.unknown;
      const bits = bitsOf(bad);
      this.bad |= bits;
      said.push(to, env, broadcast, bits);
      if (to >= 0) this.#visit(patcher, env, this.#broadcast(broadcast, to));
    }
    this.#tables.set(`M ${cpu} ${environment}`, said.map((word) => ` ${word}`).join(''));
    return unknown;
  }

  #patcher(patcher: number, environment: number, cpu: number): void {
    const asked = this.#model.requestOf(cpu) !== REQUEST.none;
    this.#tables.set(`A ${cpu}`, ` ${Number(asked)}`);
    const moves = this.#model.patcherMoves(patcher, environment);
    for (const move of moves)
      if (!move.answered || !asked)
        this.#visit(move.patcher, move.environment, this.#broadcast(move.broadcast, cpu));
    const said = moves.map(
      (move) => ` ${move.patcher} ${move.environment} ${move.broadcast} ${Number(move.answered)}`,
    );
    this.#tables.set(`P ${patcher} ${environment}`, said.join(''));
  }

  #broadcast(what: number, cpu: number): number {
    if (what < 0) return cpu;
    const after = this.#model.broadcast(what, cpu);
    this.#tables.set(`B ${what} ${cpu}`, ` ${after}`);
    return after;
  }
}
