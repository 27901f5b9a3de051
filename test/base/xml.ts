// Whether a text is well-formed XML, as far as our pictures use it: elements, attributes and text,
// with the five entities and numbers. No package for it, because nothing else here reads XML.

const TOKEN =
  /<\/([\w-]+)>|<([\w-]+)((?:\s+[\w:-]+="(?:[^"<&]|&(?:amp|lt|gt|quot|apos|#\d+);)*")*)\s*(\/?)>|(?:[^<&]|&(?:amp|lt|gt|quot|apos|#\d+);)+/uy;
/** The production Char of XML 1.0, negated. */
const FORBIDDEN = /[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u;

/** What is wrong with it, or null. */
export function malformed(text: string): string | null {
  const bad = FORBIDDEN.exec(text);
  if (bad) return `the character ${bad[0].codePointAt(0)?.toString(16)} at ${bad.index}`;
  const open: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const from = TOKEN.lastIndex;
    const token = TOKEN.exec(text);
    if (token === null) return `no token at ${from}: ${text.slice(from, from + 40)}`;
    const [, closed, opened, , alone] = token;
    if (opened !== undefined && alone === '') open.push(opened);
    if (closed !== undefined && open.pop() !== closed) return `</${closed}> closes nothing`;
  }
  return open.length === 0 ? null : `<${open.at(-1)}> is not closed`;
}
