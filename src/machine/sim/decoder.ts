// Decodes what is executed, once for each address or run of bytes.

import { hex, type Addr } from '../../base/addr.js';
import { decode } from '../../asm/decode.js';
import { isLocked, type Insn } from '../../asm/encoding.js';
import { Crash, Unknown } from './context.js';
import type { Fixture } from './fixture.js';
import type { RowName } from '../../asm/table.js';

export interface Decoded {
  readonly insn: Insn;
  readonly key: RowName;
  readonly locked: boolean;
}

/** The longest instruction that x86-64 has. */
const LONGEST = 15;

export const spell = (bytes: readonly number[]): string =>
  bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');

function decoded(insn: Insn): Decoded {
  return { insn, key: insn.form.key, locked: isLocked(insn) };
}

const intoSite = (at: Addr): string => `control goes to ${hex(at)}, into the middle of a site`;

export class Decoder {
  readonly #fixture: Fixture;
  readonly #static = new Map<Addr, Decoded>();
  readonly #fetched = new Map<string, Decoded | 'short' | 'unknown'>();

  constructor(fixture: Fixture) {
    this.#fixture = fixture;
  }

  /** The instruction at an address that no step writes. */
  at(at: Addr): Decoded {
    let known = this.#static.get(at);
    if (known === undefined) this.#static.set(at, (known = this.#decode(at)));
    return known;
  }

  #decode(at: Addr): Decoded {
    const bytes: number[] = [];
    for (let i = 0; i < LONGEST; i++) {
      const byte = this.#fixture.byte(at + i);
      if (byte === undefined) break;
      bytes.push(byte);
    }
    if (bytes.length === 0)
      throw new Crash('control-to-nowhere', `control goes to ${hex(at)}, where no code lies`);
    // Before it is decoded: the bytes of a site need not be an instruction from here.
    const insn = this.#fixture.isPatchable(at, 1) ? null : decode(bytes);
    if (typeof insn === 'string')
      throw new Unknown(`no row for the instruction at ${hex(at)}: ${spell(bytes)}`);
    if (insn === null || this.#fixture.isPatchable(at, insn.length))
      throw new Crash('control-into-site', intoSite(at));
    return decoded(insn);
  }

  /**
   * The instruction that was fetched at a site. A mixture need not be one, or may go on into the
   * next one: torn either way, whatever it does.
   */
  fetched(bytes: readonly number[]): Decoded {
    const key = bytes.join();
    let known = this.#fetched.get(key);
    if (known === undefined) {
      const insn = decode(bytes);
      known = typeof insn === 'string' ? insn : decoded(insn);
      this.#fetched.set(key, known);
    }
    if (typeof known === 'string')
      throw new Crash(
        'mixture-undecodable',
        `a mixture is fetched that is no instruction: ${spell(bytes)}`,
      );
    return known;
  }

  /** How many of these bytes are the first instruction; all of them where they are none. */
  lengthOf(bytes: readonly number[]): number {
    const insn = decode(bytes);
    return typeof insn === 'string' ? bytes.length : insn.length;
  }
}
