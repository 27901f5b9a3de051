// What is asked of the checker: a protocol, of ours or edited, and a machine. It is plain data, so
// that a worker and an address can carry it.

import { Fault } from '../base/fault.js';
import { configure, type Configuration } from '../check/configuration.js';
import type { Token } from '../check/explain/token.js';
import type { Protocol, Step } from '../plan/protocol.js';
import { validateProtocol } from '../plan/validate.js';
import { findProposal, proposalOf, PROPOSALS, type Proposal } from '../zoo/index.js';
import { emulates } from '../zoo/proposal.js';

export interface Question {
  readonly protocol: string;
  readonly variant: string;
  /** Edited: no row of the zoo, whatever its name. */
  readonly own: Protocol | null;
  readonly configuration: Configuration;
}

/** @throws Fault `bad-usage`, `unknown-protocol`, `bad-protocol` */
export function proposalFor({ own, protocol, variant, configuration }: Question): Proposal {
  const { environment } = configuration;
  return own === null ? findProposal(protocol, variant, environment) : proposalOf(own, environment);
}

export const questionOf = ({ protocol, variant, own, configuration }: Token): Question => ({
  protocol,
  variant,
  own,
  configuration,
});

/** A row of the zoo in its environment; what else was chosen stays where it can. */
export function ask(proposal: Proposal, given: Partial<Configuration> = {}): Question {
  const { name: protocol, variant, environment } = proposal;
  const moved = given.environment !== undefined && given.environment !== environment;
  const { contexts: _, ...rest } = given;
  const configuration = configure({ ...(moved ? rest : given), environment });
  const site = emulates(proposal, configuration.site) ? configuration.site : 'call';
  return { protocol, variant, own: null, configuration: { ...configuration, site } };
}

/** @throws Fault `bad-usage` in the words of the command line */
export const changed = (question: Question, given: Partial<Configuration>): Question => ({
  ...question,
  configuration: configure({ ...question.configuration, ...given }),
});

/**
 * Whether the steps can be edited: a protocol of one's own names its handler, and only some
 * handlers have a name.
 */
export function isEditable(proposal: Proposal): boolean {
  const { protocol, environment, handler } = proposal;
  if (proposal.via !== 'site' || proposal.functions !== 1 || proposal.updaters !== 'one')
    return false;
  const own = proposalOf(protocol, environment);
  const programOf = (each: Proposal): string => JSON.stringify(each.handler?.('today') ?? null);
  return handler === null ? own.handler === null : programOf(own) === programOf(proposal);
}

/** With these steps in place of its own. @throws Fault `bad-protocol` */
export function edited(question: Question, steps: readonly Step[]): Question {
  const proposal = proposalFor(question);
  const { protocol } = proposal;
  const own = validateProtocol({
    ...protocol,
    name: question.own?.name ?? `${protocol.name}-edited`,
    steps,
  });
  return withOwn(question, own, proposal.offset);
}

/** A protocol as it was typed: JSON. @throws Fault `bad-protocol` */
export function typed(question: Question, text: string): Question {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Fault(
      'bad-protocol',
      `this is no JSON: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        hint: 'copy the text of a protocol that is here, and change that',
        cause,
      },
    );
  }
  return withOwn(question, validateProtocol(value), proposalFor(question).offset);
}

function withOwn(question: Question, own: Protocol, offset: number | null): Question {
  const { environment } = proposalOf(own, question.configuration.environment);
  const moved = environment !== question.configuration.environment;
  const { contexts: _, ...rest } = question.configuration;
  const given = moved ? rest : question.configuration;
  const at = offset === null ? {} : { offset };
  return {
    protocol: own.name,
    variant: '',
    own,
    configuration: configure({ ...given, ...at, environment }),
  };
}

/** A step in words: `store cc at the first byte, as one store`. */
export function stepText(step: Step): string {
  switch (step.do) {
    case 'store': {
      const what = step.bytes === 'trap' ? 'cc' : `${step.bytes} bytes`;
      const where =
        step.part === 'whole'
          ? 'the whole site'
          : `the ${step.part} byte${step.part === 'first' ? '' : 's'}`;
      return `store ${what} in ${where}, ${HOW[step.as]}`;
    }
    case 'write': {
      const last = step.at + step.bytes - 1;
      const which = step.bytes === 1 ? `byte ${step.at}` : `bytes ${step.at} to ${last}`;
      return `store ${which} of the ${step.from} instruction, ${HOW[step.as]}`;
    }
    case 'store-head':
      return `store ${step.bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(' ')} at the beginning`;
    case 'emit':
      return `store the fresh code, ${HOW[step.as]}`;
    case 'count':
      return `${step.by > 0 ? 'add 1 to' : 'take 1 from'} ${step.word}`;
    case 'await':
      return `wait until ${step.word} is ${step.is}`;
    case 'exchange':
      return `exchange ${step.word}: ${step.from} to ${step.to}`;
    case 'retry':
      return `back to step ${step.to + 1} unless ${step.word} is ${step.is}`;
    case 'release':
      return step.serialise ? 'release them, serialised' : 'release them';
    default:
      return WORDS[step.do];
  }
}

const HOW = {
  one: 'one store',
  exchange: 'one exchange',
  merge: 'one store of the eight bytes around them',
  bytes: 'byte by byte',
} as const;

const WORDS = {
  publish: 'publish the new target in the table',
  grace: 'wait until every thread has left the text',
  sync: 'sync: every CPU serialises',
  retire: 'retire the table',
  'store-tail': 'store the new bytes behind the head',
  'restore-head': 'store the new head',
  stop: 'stop every other CPU',
} as const;

/** The zoo for a list to choose from. */
export const ROWS: readonly Proposal[] = PROPOSALS;
