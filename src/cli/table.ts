// Rows to aligned columns, as objdump prints them: no boxes, two spaces between columns, no
// trailing blanks, so that the text can be read, grepped and compared. Every cell is made printable,
// and widths are counted in columns of a terminal, so no name can move or forge a row. Colour is
// applied after the padding, because an escape sequence has no width.

import { columnsOf, printable } from '../base/printable.js';

export interface Column {
  readonly title: string;
  /** Numbers to the right, words to the left (the default). */
  readonly align?: 'left' | 'right';
}

export type Cell = string | number | bigint | null | undefined;

function show(cell: Cell): string {
  if (cell === null || cell === undefined) return '-';
  if (typeof cell === 'string') return printable(cell);
  return cell.toLocaleString('en-US', { maximumFractionDigits: 2 });
}

/** Lines without a final line end. Without titles (all empty) there is no head line. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  paintHead: (text: string) => string = (text) => text,
): string {
  const body = rows.map((row) => columns.map((_, i) => show(row[i])));
  const headed = columns.some((c) => c.title !== '');
  const laid = columns.map(({ title, align = 'left' }, i) => ({
    align,
    width: body.reduce((most, row) => Math.max(most, columnsOf(row[i] ?? '')), columnsOf(title)),
  }));
  const line = (cells: readonly string[]): string =>
    laid
      .map(({ align, width }, i) => {
        const cell = cells[i] ?? '';
        const room = ' '.repeat(width - columnsOf(cell));
        return align === 'right' ? room + cell : cell + room;
      })
      .join('  ')
      .trimEnd();
  const head = headed ? [paintHead(line(columns.map((c) => c.title)))] : [];
  return [...head, ...body.map(line)].join('\n');
}
