// A path as text that can be pasted into a report. It names the version of the model, for the same
// choices mean something else in another one.

import { Fault } from '../../base/fault.js';
import type { Protocol } from '../../plan/protocol.js';
import { validateProtocol } from '../../plan/validate.js';
import { configure, type Configuration } from '../configuration.js';
import type { Choice } from '../search/expand.js';

/** Changes with anything that gives choices another meaning. */
const MODEL_VERSION = 2;

interface Token {
  readonly protocol: string;
  readonly variant: string;
  readonly property: string;
  readonly configuration: Configuration;
  /** Whether fetch and retirement are two steps. */
  readonly split: boolean;
  /** A protocol that is none of ours, as data; else null. */
  readonly own: Protocol | null;
  /** What the search said of the last state. */
  readonly text: string;
  readonly path: readonly Choice[];
}

export function encodeToken({ path, ...rest }: Token): string {
  const short = path
    .map(({ who, move, swap }) =>
      swap >= 0 ? `${who}s${swap}` : who < 0 ? `p${move}` : `${who}m${move}`,
    )
    .join(' ');
  return `path${MODEL_VERSION}.${Buffer.from(JSON.stringify({ ...rest, path: short })).toString('base64url')}`;
}

export function decodeToken(text: string): Token {
  const match = /^path(\d+)\.([\w-]+)$/.exec(text);
  if (match === null)
    throw new Fault('bad-usage', 'this is no path of check', {
      hint: 'paste the whole token that check printed',
    });
  if (Number(match[1]) !== MODEL_VERSION)
    throw new Fault(
      'bad-usage',
      `the path was made by version ${match[1]} of the model; this is version ${MODEL_VERSION}`,
      { hint: 'run the check again for a path of this version' },
    );
  try {
    const { path, ...rest } = JSON.parse(
      Buffer.from(match[2] as string, 'base64url').toString(),
    ) as Omit<Token, 'path'> & { path: string };
    return {
      ...rest,
      own: rest.own === null ? null : validateProtocol(rest.own),
      configuration: configure(rest.configuration),
      path: path.split(' ').map((word) => {
        const parts = /^(?:p(\d+)|(\d+)m(\d+)|(\d+)s(\d+))$/.exec(word);
        if (parts === null) throw new Error(word);
        if (parts[1] !== undefined) return { who: -1, move: Number(parts[1]), swap: -1 };
        if (parts[2] !== undefined)
          return { who: Number(parts[2]), move: Number(parts[3]), swap: -1 };
        return { who: Number(parts[4]), move: -1, swap: Number(parts[5]) };
      }),
    };
  } catch (error) {
    throw new Fault('bad-usage', 'the path is damaged', {
      hint: 'paste the whole token that check printed',
      cause: error,
    });
  }
}
