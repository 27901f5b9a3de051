/** Edit distance with transpositions, enough for names of a few dozen characters. */
function distance(a: string, b: string): number {
  const rows: number[][] = [];
  const cell = (i: number, j: number): number => rows[i]?.[j] ?? Infinity;
  for (let i = 0; i <= a.length; i++) {
    const row: number[] = [];
    rows.push(row);
    for (let j = 0; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const ways = [cell(i - 1, j) + 1, cell(i, j - 1) + 1, cell(i - 1, j - 1) + (same ? 0 : 1)];
      if (i > 1 && j > 1 && swapped) ways.push(cell(i - 2, j - 2) + 1);
      row.push(i === 0 && j === 0 ? 0 : Math.min(...ways));
    }
  }
  return cell(a.length, b.length);
}

/** The known name that `word` was probably meant to be, if one is near enough to suggest. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bound = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const name of known) {
    const d = name.startsWith(word) || word.startsWith(name) ? 1 : distance(word, name);
    if (d < bound) [best, bound] = [name, d];
  }
  return best;
}

/** `did you mean x?`, or nothing: for the end of a hint. */
export function didYouMean(word: string, known: Iterable<string>): string | undefined {
  const name = nearest(word, known);
  return name === undefined ? undefined : `did you mean ${name}?`;
}
