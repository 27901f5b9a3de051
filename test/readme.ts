// The README as data: its blocks in their order, and what it promises beside them.

import { readFileSync } from 'node:fs';

export interface Block {
  readonly lang: string;
  readonly name: string;
  readonly body: string;
}

export const readme = (): string => readFileSync('README.md', 'utf8');

export const blocks = (text: string): Block[] =>
  [...text.matchAll(/^```(\w*) ?(\S*)\n([\s\S]*?)^```$/gm)].map(([, lang, name, body]) => ({
    lang: lang!,
    name: name!,
    body: body!,
  }));

/** The cells of each table whose head is this, without code marks. */
export function rowsUnder(text: string, head: string): string[][] {
  const lines = text.split('\n');
  const first = lines.indexOf(head);
  if (first < 0) throw new Error(`the README has no table with the head ${head}`);
  const rows: string[][] = [];
  for (const line of lines.slice(first + 2)) {
    if (!line.startsWith('|')) break;
    rows.push(
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('`', '')),
    );
  }
  return rows;
}

/**
 * One shell script of all commands in their order, each file written where its block stands. The
 * reader starts in the checkout.
 */
export function script(text: string, only: (command: string) => boolean): string {
  const lines: string[] = [];
  for (const { lang, name, body } of blocks(text)) {
    if (lang === 'sh') lines.push(...body.trimEnd().split('\n').filter(only));
    if (lang !== 'sh' && lang !== 'text' && name !== '')
      lines.push(`cat > ${name} <<'END'\n${body}END`);
  }
  return lines.join('\n');
}

/** What the program prints, by the comments at its end of line. */
export const promised = (text: string): string[] =>
  [...text.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map((match) => match[1]!);
