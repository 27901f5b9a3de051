// Where in its cache line a site lies that is checked: at an offset that its protocol takes, and of
// those at one over the end of the largest unit, because what a CPU fetches in two pieces it may
// mix.

import { LINE, UNITS, UNIT_NAMES, crosses, type Unit } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import { acceptsChange } from '../plan/draw.js';
import { changedOf, parseText } from '../plan/text.js';
import { FIELD } from '../plan/way.js';
import type { Acceptance, Place } from '../plan/protocol.js';
import { SHAPES, type SiteShape } from '../machine/sim/settings.js';
import { OVER_LINE, titled, type Proposal } from './proposal.js';

const OFFSETS = Array.from({ length: LINE }, (_, i) => i);
const BY_SIZE = (Object.keys(UNITS) as Unit[]).sort((a, b) => UNITS[b] - UNITS[a]);

interface Extent {
  readonly length: number;
  /** The bytes that an update changes. */
  readonly from: number;
  readonly to: number;
}

/** Of the text that the protocol brings, or of a site of that shape. */
function extentOf({ protocol }: Proposal, site: SiteShape): Extent {
  const text = parseText(protocol.text ?? {});
  if (text !== null) return { length: text.length, ...changedOf(text) };
  const { length, sequence } = SHAPES[site];
  const displaced = length === FIELD.to && sequence.every((to) => to !== 'null' && to !== 'ret0');
  return { length, ...(displaced ? FIELD : { from: 0, to: length }) };
}

const takes = (rule: Acceptance, { length, from, to }: Extent, offset: number): boolean =>
  acceptsChange(rule, offset, length, from, to);

/** Offsets in a line at which the protocol takes a site of that shape. */
export function offsetsOf(proposal: Proposal, site: SiteShape): readonly number[] {
  const { accepts, place } = proposal.protocol;
  const extent = extentOf(proposal, site);
  return OFFSETS.filter(
    (offset) => takes(accepts, extent, offset) && isPlaced(place?.offset, offset),
  );
}

function isPlaced(placed: Place['offset'], offset: number): boolean {
  if (placed === undefined) return true;
  return 'align' in placed ? offset % placed.align === placed.at : placed.includes(offset);
}

/** Of these offsets the one in the middle of those over the end of the largest unit. */
function worst(offsets: readonly number[], { from, to }: Extent): number | undefined {
  const over = BY_SIZE.map((unit) => offsets.filter((at) => crosses(unit, at + from, to - from)));
  const candidates = over.find((each) => each.length > 0) ?? offsets;
  // Over the end of a line all shapes are tried at the same place.
  return candidates.includes(OVER_LINE) ? OVER_LINE : candidates[candidates.length >> 1];
}

/**
 * Offsets that the protocol takes, those together at which no search can tell a difference: where
 * the pieces that a CPU fetches, and those that a store is cut into, end inside the site.
 */
export function placesOf(
  proposal: Proposal,
  site: SiteShape,
  pieces: readonly number[],
): readonly (readonly number[])[] {
  const { length } = extentOf(proposal, site);
  const cuts = (offset: number): string =>
    pieces
      .map((piece) => {
        const ends = Array.from({ length: length - 1 }, (_, i) => i + 1);
        return ends.filter((i) => (offset + i) % piece === 0).join();
      })
      .join(';');
  const alike = new Map<string, number[]>();
  for (const offset of offsetsOf(proposal, site)) {
    const key = cuts(offset);
    const known = alike.get(key);
    if (known === undefined) alike.set(key, [offset]);
    else known.push(offset);
  }
  return [...alike.values()];
}

/**
 * @param asked an offset, or null for the worst one that the protocol takes
 * @throws Fault `bad-usage` where the protocol takes no such site
 */
export function placeOf(proposal: Proposal, site: SiteShape, asked: number | null): number {
  const { offset, protocol, via } = proposal;
  const { within } = protocol.accepts;
  const own = asked ?? offset;
  if (own !== null) {
    // A row of ours may force a site on a protocol that refuses it, to show why it does.
    if (own !== offset && via === 'site' && !offsetsOf(proposal, site).includes(own))
      throw new Fault(
        'bad-usage',
        `${titled(proposal)} takes no site at offset ${own} of its line: ` +
          (takes(protocol.accepts, extentOf(proposal, site), own) || within === null
            ? 'its place.offset is another'
            : `the bytes that change cross a ${UNIT_NAMES[within]}`),
        { hint: `it takes offsets ${ranges(offsetsOf(proposal, site))}` },
      );
    return own;
  }
  const found =
    via === 'site' ? worst(offsetsOf(proposal, site), extentOf(proposal, site)) : OVER_LINE;
  if (found === undefined)
    throw new Fault(
      'bad-usage',
      `${titled(proposal)} takes no site of the shape ${site}, wherever it lies`,
      { hint: 'choose another --site, or a wider unit in accepts.within' },
    );
  return found;
}

/** `0-3, 8`: numbers in ascending order, for people. */
export function ranges(numbers: readonly number[]): string {
  const parts: [number, number][] = [];
  for (const n of numbers) {
    const last = parts.at(-1);
    if (last?.[1] === n - 1) last[1] = n;
    else parts.push([n, n]);
  }
  return parts.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)).join(', ');
}
