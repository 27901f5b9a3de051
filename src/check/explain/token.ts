// A path as text that can be pasted into a report. It names the version of the model, because the
// same choices mean something else in another one.

import { bytesOf, latin1, utf8 } from '../../base/bytes.js';
import { Fault } from '../../base/fault.js';
import type { Protocol } from '../../plan/protocol.js';
import { validateProtocol } from '../../plan/validate.js';
import { configure, type Configuration } from '../configuration.js';
import type { Choice } from '../search/expand.js';

/** Changes with anything that gives choices another meaning. */
const MODEL_VERSION = 2;

export interface Token {
  readonly protocol: string;
  readonly variant: string;
  /** Which of the properties that the end violates it is about. */
  readonly property: string;
  readonly configuration: Configuration;
  /** Whether fetch and retirement are two steps. */
  readonly split: boolean;
  /** A protocol that is none of ours, as data; else null. */
  readonly own: Protocol | null;
  readonly path: readonly Choice[];
}

export function encodeToken({ path, ...rest }: Token): string {
  return encoded({ ...rest, path: path.map(wordOf).join(' ') });
}

const encoded = (token: object): string =>
  `path${MODEL_VERSION}.${base64Url(new TextEncoder().encode(JSON.stringify(token)))}`;

/** The same path where another unit is fetched whole, which made no difference to the search. */
export function underChunk(token: string, chunk: Configuration['chunk']): string {
  const [, body = ''] = token.split('.');
  const read = JSON.parse(utf8(ofBase64Url(body))) as Pick<Token, 'configuration'>;
  return encoded({ ...read, configuration: { ...read.configuration, chunk } });
}

/** Of RFC 4648, section 5, without padding. A page has no Buffer. */
function base64Url(bytes: Uint8Array): string {
  const text = btoa(latin1(bytes));
  return text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
const ofBase64Url = (text: string): Uint8Array =>
  bytesOf(atob(text.replaceAll('-', '+').replaceAll('_', '/')));

function wordOf({ who, move, swap }: Choice): string {
  if (swap >= 0) return `${who}s${swap}`;
  return who < 0 ? `p${move}` : `${who}m${move}`;
}

/** @throws Fault `bad-usage` */
export function decodeToken(text: string): Token {
  const [, version, body] = /^path(\d+)\.([\w-]+)$/.exec(text) ?? [];
  if (version === undefined || body === undefined)
    throw new Fault('bad-usage', 'this is no path of check', {
      hint: 'paste the whole token that check printed',
    });
  if (Number(version) !== MODEL_VERSION)
    throw new Fault(
      'bad-usage',
      `the path was made by version ${version} of the model; this is version ${MODEL_VERSION}`,
      { hint: 'run the check again for a path of this version' },
    );
  try {
    return tokenOf(JSON.parse(utf8(ofBase64Url(body))));
  } catch (error) {
    throw new Fault('bad-usage', 'the path is damaged', {
      hint: 'paste the whole token that check printed',
      cause: error,
    });
  }
}

/** Anything may be in a token: each field is looked at. */
function tokenOf(value: Readonly<Record<string, unknown>>): Token {
  const { own } = value;
  const text = (field: string): string => {
    const word = value[field];
    if (typeof word !== 'string') throw new Error(`${field} is no text`);
    return word;
  };
  return {
    protocol: text('protocol'),
    variant: text('variant'),
    property: text('property'),
    configuration: configure(Object(value['configuration'])),
    split: value['split'] === true,
    own: own === null || own === undefined ? null : validateProtocol(own),
    path: text('path')
      .split(' ')
      .filter((word) => word !== '')
      .map(choiceOf),
  };
}

function choiceOf(word: string): Choice {
  const [, patcher, cpu, move, switched, swap] =
    /^(?:p(\d+)|(\d+)m(\d+)|(\d+)s(\d+))$/.exec(word) ?? [];
  if (patcher !== undefined) return { who: -1, move: Number(patcher), swap: -1 };
  if (cpu !== undefined) return { who: Number(cpu), move: Number(move), swap: -1 };
  if (switched !== undefined) return { who: Number(switched), move: -1, swap: Number(swap) };
  throw new Error(`no choice: ${word}`);
}
