// Rows to aligned columns, as objdump prints them: no boxes, two spaces between columns, no
// trailing blanks, so that the text can be read, grepped and compared. Widths count characters; the
// field's words are ASCII. Colour is applied after the padding, for an escape sequence has no
// width.

import { stripVTControlCharacters } from 'node:util';

export interface Column {
  readonly title: string;
  /** Numbers to the right, words to the left (the default). */
  readonly align?: 'left' | 'right';
}

export type Cell = string | number | bigint | null | undefined;

const width = (text: string): number => stripVTControlCharacters(text).length;

function show(cell: Cell): string {
  if (cell === null || cell === undefined) return '-';
  return typeof cell === 'number'
    ? cell.toLocaleString('en-US', { maximumFractionDigits: 2 })
    : typeof cell === 'bigint'
      ? cell.toLocaleString('en-US')
      : cell;
}

/** Lines without a final line end. Without titles (all empty) there is no head line. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  paintHead: (text: string) => string = (text) => text,
): string {
  const body = rows.map((row) => columns.map((_, i) => show(row[i])));
  const headed = columns.some((c) => c.title !== '');
  const widths = columns.map((c, i) =>
    Math.max(width(c.title), ...body.map((row) => width(row[i]!))),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => {
        const room = ' '.repeat(widths[i]! - width(cell));
        return columns[i]!.align === 'right' ? room + cell : cell + room;
      })
      .join('  ')
      .trimEnd();
  const head = headed ? [paintHead(line(columns.map((c) => c.title)))] : [];
  return [...head, ...body.map(line)].join('\n');
}
