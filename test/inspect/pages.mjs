// Encoders of the two formats of a kdump's pages that no program here writes, after the
// descriptions of what a decoder takes. Matches are found by the last place of each three bytes.

/** Literals and a match in turn; `cut` says how much of a match to take, 0 for none. */
function* sequences(bytes, cut) {
  const last = new Map();
  let from = 0;
  for (let at = 0; at + 3 <= bytes.length;) {
    const key = bytes.readUIntLE(at, 3);
    const place = last.get(key);
    last.set(key, at);
    let found = 0;
    if (place !== undefined)
      while (at + found < bytes.length && bytes[place + found] === bytes[at + found]) found++;
    const length = found === 0 ? 0 : cut(at - place, at - from, found);
    if (length === 0) {
      at++;
      continue;
    }
    yield { literals: bytes.subarray(from, at), distance: at - place, length };
    at += length;
    from = at;
  }
  yield { literals: bytes.subarray(from), distance: 0, length: 0 };
}

/** A length in the low bits of a tag, or behind it. */
function extended(tag, length, most) {
  if (length <= most) return [tag | length];
  let left = length - most;
  const bytes = [tag];
  for (; left > 255; left -= 255) bytes.push(0);
  return [...bytes, left];
}

/** LZO1X, with every kind of match that fits into a page. */
export function lzo(page) {
  const out = [];
  /** Where the last match has room for a count of literals. */
  let room = -1;
  const cut = (distance, literals, found) =>
    literals > 0 && literals <= 3 && distance <= 1024 && found % 2 === 1 ? 2 : found;
  for (const { literals, distance, length } of sequences(page, cut)) {
    const n = literals.length;
    if (room < 0 && n <= 238) out.push(...(n > 0 ? [17 + n] : []));
    else if (n <= 3) out[room] |= n;
    else out.push(...extended(0, n - 3, 15));
    out.push(...literals);
    if (length === 0) break;
    const d = distance - 1;
    if (length === 2) {
      room = out.push((d & 3) << 2, d >> 2) - 2;
    } else if (length === 3 && n > 3 && distance > 2048 && distance <= 3072) {
      room = out.push((d & 3) << 2, (d - 2048) >> 2) - 2;
    } else if (length <= 8 && distance <= 2048) {
      room = out.push(((length - 1) << 5) | ((d & 7) << 2), d >> 3) - 2;
    } else {
      out.push(...extended(32, length - 2, 31));
      room = out.push((d << 2) & 255, d >> 6) - 2;
    }
  }
  return Buffer.from([...out, 17, 0, 0]);
}

/** A block of snappy, with its three kinds of copies. */
export function snappy(page) {
  const out = [(page.length & 127) | 128, page.length >> 7];
  for (const { literals, distance, length } of sequences(page, (_d, _n, found) =>
    Math.min(found, 64),
  )) {
    const n = literals.length;
    if (n > 256) out.push(61 << 2, (n - 1) & 255, (n - 1) >> 8);
    else if (n > 60) out.push(60 << 2, n - 1);
    else if (n > 0) out.push((n - 1) << 2);
    out.push(...literals);
    if (length === 0) break;
    const low = [distance & 255, distance >> 8];
    if (length >= 4 && length <= 11 && distance < 2048)
      out.push((low[1] << 5) | ((length - 4) << 2) | 1, low[0]);
    else if (length % 2 === 0) out.push(((length - 1) << 2) | 2, ...low);
    else out.push(((length - 1) << 2) | 3, ...low, 0, 0);
  }
  return Buffer.from(out);
}
