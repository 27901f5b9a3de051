/** Edit distance with transpositions, enough for names of a few dozen characters. */
function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let best = Math.min(
        rows[i - 1]![j]! + 1,
        row[j - 1]! + 1,
        rows[i - 1]![j - 1]! + (same ? 0 : 1),
      );
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, rows[i - 2]![j - 2]! + 1);
      row.push(best);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
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
