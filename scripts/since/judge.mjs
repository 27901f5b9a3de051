// Whether a row of scripts/since.mjs got slower: pure, so that a test can show it a row that did.

/**
 * Below this nothing is told from chance, however quiet the rounds were: a second build of the same
 * sources lies elsewhere in the caches.
 */
const LEAST = 0.1;

/**
 * Rows that are slower because it was decided so; beyond `most` times as slow there is more to it.
 *
 * @type {{row: RegExp, why: string, commit: string, most: number}[]}
 */
export const REASONS = [
  {
    row: /^update, \w+, procmem, sites: \d{2,}$/,
    why: 'no byte between two sites is written',
    commit: 'f5f0bc0',
    most: Infinity,
  },
];

/** @param {readonly number[]} values at least one */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** How far the middle half of the values reaches, as a part of their median. */
function spread(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const quarter = Math.floor(sorted.length / 4);
  return (sorted[sorted.length - 1 - quarter] - sorted[quarter]) / median(values);
}

/**
 * The ratio is that of a round, because the two sides of a round met the same moment of the
 * machine.
 *
 * @param {string} row
 * @param {readonly number[]} before one median for each round; the lower, the better
 * @param {readonly number[]} after
 */
export function judge(row, before, after, reasons = REASONS) {
  const ratios = after.map((value, round) => value / before[round]);
  const ratio = median(ratios);
  const noise = Math.max(LEAST, spread(ratios));
  const found = { row, was: median(before), is: median(after), ratio, noise, reason: null };
  if (ratio < 1 / (1 + noise)) return { ...found, word: 'faster' };
  if (ratio <= 1 + noise) return { ...found, word: 'same' };
  const reason = reasons.find((each) => each.row.test(row) && ratio <= each.most) ?? null;
  return { ...found, word: 'slower', reason };
}

/** Slower, and no decision says why. */
export const isWorse = ({ word, reason }) => word === 'slower' && reason === null;

const HEADS = ['row', 'old', 'new', 'new/old', 'noise', ''];

function amount(row, value) {
  if (/\bseconds$/.test(row)) return `${value.toFixed(1)} s`;
  if (row.startsWith('call')) return `${value.toFixed(3)} ns`;
  return `${(value / 1000).toFixed(1)} us`;
}

/** @param {readonly ReturnType<typeof judge>[]} judged */
export function table(judged) {
  const cells = judged.map(({ row, was, is, ratio, noise, word, reason }) => [
    row,
    amount(row, was),
    amount(row, is),
    ratio.toFixed(3),
    noise.toFixed(2),
    reason === null ? word : `${word}, on purpose: ${reason.why} (${reason.commit})`,
  ]);
  const rows = [HEADS, ...cells];
  const widths = HEADS.map((_, i) => Math.max(...rows.map((cell) => cell[i].length)));
  const line = (cell) =>
    cell
      .map((text, i) => (i === 0 || i === 5 ? text.padEnd(widths[i]) : text.padStart(widths[i])))
      .join('  ')
      .trimEnd();
  return `${rows.map(line).join('\n')}\n`;
}
