// The fragment of the page's address: a replay token of `check`, and beside it, where they are not
// the usual ones, the step that is looked at and the protocol to compare with.
//
//   #path2.eyJw...            the path at its crux
//   #path2.eyJw...;at=4;under=int3

import { Fault } from '../base/fault.js';

export interface Address {
  readonly token: string;
  readonly at: number | null;
  readonly under: string | null;
}

export function encodeAddress({ token, at, under }: Address): string {
  const parts = [token];
  if (at !== null) parts.push(`at=${at}`);
  if (under !== null) parts.push(`under=${under}`);
  return `#${parts.join(';')}`;
}

/** @throws Fault `bad-usage` */
export function decodeAddress(fragment: string): Address {
  const [token = '', ...parts] = plain(fragment.replace(/^#/, '')).split(';');
  const values = new Map(parts.map((part) => [part.split('=')[0], part.split('=')[1] ?? '']));
  const at = values.get('at');
  if (at !== undefined && !/^\d{1,6}$/.test(at))
    throw new Fault('bad-usage', `the step in the address is no number: ${at}`, {
      hint: 'leave out the part behind the token',
    });
  return {
    token,
    at: at === undefined ? null : Number(at),
    under: values.get('under') ?? null,
  };
}

/** Some programs escape the semicolons of an address that they pass on. */
function plain(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
