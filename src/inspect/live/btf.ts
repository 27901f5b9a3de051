// BTF, the kernel's own description of its types, out of its memory (Documentation/bpf/btf.rst):
// where the fields of a few structures lie. They differ between kernels of one version, so no table
// by version could say it. One pass over all types finds the structures that are asked for.

import { Fault } from '../../base/fault.js';
import { viewOf } from './bytes.js';

const MAGIC = 0xeb9f;
const HEADER = 24;
const KIND = { struct: 4, union: 5 } as const;
/** Bytes behind the twelve that every type has: so many, and so many for each of its `vlen` entries. */
const SIZES: ReadonlyMap<number, readonly [fixed: number, each: number]> = new Map([
  [1, [4, 0]], // INT
  [2, [0, 0]], // PTR
  [3, [12, 0]], // ARRAY
  [KIND.struct, [0, 12]],
  [KIND.union, [0, 12]],
  [6, [0, 8]], // ENUM
  [7, [0, 0]], // FWD
  [8, [0, 0]], // TYPEDEF
  [9, [0, 0]], // VOLATILE
  [10, [0, 0]], // CONST
  [11, [0, 0]], // RESTRICT
  [12, [0, 0]], // FUNC
  [13, [0, 8]], // FUNC_PROTO
  [14, [4, 0]], // VAR
  [15, [0, 12]], // DATASEC
  [16, [0, 0]], // FLOAT
  [17, [4, 0]], // DECL_TAG
  [18, [0, 0]], // TYPE_TAG
  [19, [0, 12]], // ENUM64
]);
/** The names that are asked for are shorter. */
const LONGEST = 64;
/** No structure has so many fields, those of its anonymous parts included, nor nests so deep. */
const MOST_FIELDS = 1 << 16;
const DEEPEST = 16;

const damaged = (what: string): Fault =>
  new Fault('bad-kernel', `the kernel's BTF is damaged: ${what}`, { at: 'BTF' });

/** What is left of the bounds while a field is looked for. */
interface Budget {
  left: number;
  readonly depth: number;
}

export interface Field {
  /** Bytes from the beginning of the structure. */
  readonly offset: number;
  readonly type: number;
}

export class Btf {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #strings: number;
  /** Where each type lies, by its number; type 0 is void. */
  readonly #types: Uint32Array;
  readonly #structs = new Map<string, number>();
  readonly #fields = new Map<string, Field | null>();

  /** @throws Fault `bad-kernel`. */
  constructor(bytes: Uint8Array, structs: ReadonlySet<string>) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    if (bytes.length < HEADER || this.#view.getUint16(0, true) !== MAGIC)
      throw damaged('it does not begin with its magic number');
    const header = this.#view.getUint32(4, true);
    const types = header + this.#view.getUint32(8, true);
    const end = types + this.#view.getUint32(12, true);
    this.#strings = header + this.#view.getUint32(16, true);
    const stringsEnd = this.#strings + this.#view.getUint32(20, true);
    if (end > bytes.length || stringsEnd > bytes.length || types > end)
      throw damaged('its parts do not lie inside it');
    // A type takes twelve bytes at least.
    const places = new Uint32Array(Math.floor((end - types) / 12) + 1);
    let count = 1;
    for (let at = types; at + 12 <= end; count++) {
      const info = this.#view.getUint32(at + 4, true);
      const kind = (info >>> 24) & 31;
      const sizes = SIZES.get(kind);
      if (!sizes) throw damaged(`type ${count} is of kind ${kind}`);
      places[count] = at;
      if (kind === KIND.struct) {
        const name = this.#name(at);
        if (structs.has(name) && !this.#structs.has(name)) this.#structs.set(name, count);
      }
      at += 12 + sizes[0] + sizes[1] * (info & 0xffff);
      if (at > end) throw damaged(`type ${count} ends behind the types`);
    }
    this.#types = places.subarray(0, count);
  }

  /** Null where the kernel has no such structure or no such field. */
  field(struct: string, name: string): Field | null {
    const known = this.#fields.get(`${struct}.${name}`);
    if (known !== undefined) return known;
    const type = this.#structs.get(struct);
    const found =
      type === undefined ? null : this.#fieldOf(type, name, { left: MOST_FIELDS, depth: DEEPEST });
    this.#fields.set(`${struct}.${name}`, found);
    return found;
  }
  /** Of the structure that a field is. */
  within({ offset, type }: Field, name: string): Field | null {
    const inner = this.#fieldOf(this.#elementOf(type), name, { left: MOST_FIELDS, depth: DEEPEST });
    return inner && { offset: offset + inner.offset, type: inner.type };
  }
  /** @throws Fault `bad-kernel` where the kernel has the structure without the field. */
  offset(struct: string, name: string): number {
    const field = this.field(struct, name);
    if (field) return field.offset;
    throw damaged(`struct ${struct} has no field ${name}`);
  }
  has(struct: string): boolean {
    return this.#structs.has(struct);
  }
  /** Bytes of a structure. */
  size(struct: string): number {
    const type = this.#structs.get(struct);
    const at = type === undefined ? undefined : this.#types[type];
    return at === undefined ? 0 : this.#view.getUint32(at + 8, true);
  }

  #name(at: number): string {
    return this.#text(this.#view.getUint32(at, true));
  }
  #text(offset: number): string {
    const from = this.#strings + offset;
    const bytes = this.#bytes.subarray(from, from + LONGEST);
    const end = bytes.indexOf(0);
    // Another structure's: it has a name, and not one that is asked for.
    if (end < 0) return '?';
    return Buffer.from(bytes.buffer, bytes.byteOffset, end).toString('latin1');
  }
  /** An array's fields are those of its elements. */
  #elementOf(type: number): number {
    const at = this.#types[type] ?? 0;
    const kind = at === 0 ? 0 : (this.#view.getUint32(at + 4, true) >>> 24) & 31;
    return kind === 3 ? this.#view.getUint32(at + 12, true) : type;
  }
  #fieldOf(type: number, name: string, fields: Budget): Field | null {
    const at = this.#types[type] ?? 0;
    if (at === 0) return null;
    const info = this.#view.getUint32(at + 4, true);
    const kind = (info >>> 24) & 31;
    if (kind !== KIND.struct && kind !== KIND.union) return null;
    // With the flag, the upper byte of an offset is the width of a bit field.
    const bits = info >>> 31 === 1 ? 0xff_ffff : 0xffff_ffff;
    for (let i = 0; i < (info & 0xffff); i++) {
      if (fields.left-- <= 0 || fields.depth === 0)
        throw damaged('a structure is nested without end');
      const member = at + 12 + 12 * i;
      const found = this.#text(this.#view.getUint32(member, true));
      const inner = this.#view.getUint32(member + 4, true);
      const offset = ((this.#view.getUint32(member + 8, true) & bits) >>> 0) / 8;
      if (found === name && Number.isInteger(offset)) return { offset, type: inner };
      if (found !== '') continue;
      const budget = { left: fields.left, depth: fields.depth - 1 };
      const nested = this.#fieldOf(inner, name, budget);
      fields.left = budget.left;
      if (nested && Number.isInteger(offset))
        return { offset: offset + nested.offset, type: nested.type };
    }
    return null;
  }
}
