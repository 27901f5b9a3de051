// Text of unknown origin, made safe to print. Symbol names, section names, file names, a protocol's
// reasons and a pasted token may hold anything: ESC sequences that clear a terminal or set its
// title, a newline that forges a row of a table, a bidirectional override that shows a name
// backwards (CVE-2021-42574), or characters that XML forbids. Such a character is shown as its
// number, in the notation of JavaScript strings. JSON needs none of this, because JSON.stringify
// escapes by itself.
//
// The backslash is left as it is, so the shown form is for reading and cannot be turned back.

/** Nearly every name, in a listing that may have a million of them. */
const ASCII = /^[\x20-\x7e]*$/;

/**
 * Controls (C0, C1, DEL), formats (bidirectional controls, zero-width joiners, the soft hyphen, the
 * byte order mark), unpaired surrogates, code points that are not assigned (the noncharacters
 * U+FFFE and U+FFFF among them), and the two line separators of Unicode.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Cn}\p{Zl}\p{Zp}]/gu;

function escaped(character: string): string {
  const point = character.codePointAt(0) ?? 0;
  const digits = point.toString(16);
  if (point < 0x100) return `\\x${digits.padStart(2, '0')}`;
  return point < 0x10000 ? `\\u${digits.padStart(4, '0')}` : `\\u{${digits}}`;
}

/** The text on one line and without an effect: `a\x1b[2Jb` for what would clear the screen. */
export function printable(text: string): string {
  return ASCII.test(text) ? text : text.replace(UNPRINTABLE, escaped);
}

const MARKUP: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** The same for the text and the attributes of HTML and SVG: well-formed XML for any input. */
export function markup(text: string): string {
  return printable(text).replace(/[&<>"']/g, (character) => MARKUP[character] ?? character);
}

const NO_COLUMN = /\p{Mn}|\p{Me}/u;
/** East Asian Wide and Fullwidth (UAX #11), as blocks, and emoji. */
const WIDE =
  '\\u1100-\\u115f\\u2e80-\\u303e\\u3041-\\ua4cf\\uac00-\\ud7a3\\uf900-\\ufaff' +
  '\\ufe30-\\ufe6f\\uff00-\\uff60\\uffe0-\\uffe6\\u{20000}-\\u{3fffd}';
const TWO_COLUMNS = new RegExp(`[${WIDE}]|\\p{Emoji_Presentation}`, 'u');
function widthOf(character: string): number {
  if (NO_COLUMN.test(character)) return 0;
  return TWO_COLUMNS.test(character) ? 2 : 1;
}

/** How many columns of a terminal printable text takes. */
export function columnsOf(text: string): number {
  if (ASCII.test(text)) return text.length;
  let columns = 0;
  for (const character of text) columns += widthOf(character);
  return columns;
}

/** As much of the beginning of printable text as fits. */
export function clipped(text: string, columns: number): string {
  let left = columns;
  let kept = '';
  for (const character of text) {
    left -= widthOf(character);
    if (left < 0) break;
    kept += character;
  }
  return kept;
}
