// The form of a log of what a kernel did to its text: lines of JSON, a header first.

import { addrFromBits, type Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import type { PokeEvent, PokeLog } from './conform.js';

const SCHEMA = 'static-call/poke-log@1';
/** Bytes of the widest store that is recorded. */
const WIDEST = 64;

/** @throws Fault `bad-log`, with the line. */
export function readPokeLog(text: string, path: string): PokeLog {
  const lines = text.split('\n').filter((line) => line !== '');
  const [first = '', ...rest] = lines;
  const header = new Line(first, path, 1);
  if (header.value('schema') !== SCHEMA) throw header.fault(`its schema is not ${SCHEMA}`);
  const cpus = header.value('cpus');
  const words = header.value('words');
  if (!Array.isArray(cpus) || cpus.length === 0 || !cpus.every(Number.isSafeInteger))
    throw header.fault('cpus is no list of numbers');
  const word = (name: string): Addr =>
    header.address(isRecord(words) ? words[name] : undefined, `words.${name}`);
  return {
    cpus,
    words: { vec: word('vec'), count: word('count'), refs: word('refs') },
    return0:
      header.value('return0') === undefined
        ? null
        : header.address(header.value('return0'), 'return0'),
    events: rest.map((line, i) => eventOf(new Line(line, path, i + 2))),
  };
}

function eventOf(line: Line): PokeEvent {
  const cpu = Number(line.value('cpu') ?? Number.NaN);
  if (!Number.isSafeInteger(cpu)) throw line.fault('cpu is no number');
  switch (line.value('op')) {
    case 'store':
      return { cpu, op: 'store', at: line.address(line.value('at'), 'at'), bytes: line.bytes() };
    case 'sync':
      return { cpu, op: 'sync' };
    case 'trap':
      return { cpu, op: 'trap', at: line.address(line.value('at'), 'at') };
    case 'resume': {
      const to = line.value('to');
      return { cpu, op: 'resume', to: to === null ? null : line.address(to, 'to') };
    }
    default:
      throw line.fault('op is neither store, sync, trap nor resume');
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

class Line {
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #at: string;

  constructor(text: string, path: string, number: number) {
    this.#at = `${path}:${number}`;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw this.fault('it is no JSON');
    }
    if (!isRecord(value)) throw this.fault('it is no object');
    this.#fields = value;
  }
  value(name: string): unknown {
    return this.#fields[name];
  }
  address(value: unknown, name: string): Addr {
    if (typeof value !== 'string' || !/^0x[0-9a-f]{1,16}$/.test(value))
      throw this.fault(`${name} is no address such as "0xffffffff81000000"`);
    return addrFromBits(BigInt(value));
  }
  bytes(): Uint8Array {
    const digits = this.value('bytes');
    if (typeof digits !== 'string' || !/^(?:[0-9a-f]{2})+$/.test(digits))
      throw this.fault('bytes is no text of hexadecimal digits');
    if (digits.length > 2 * WIDEST) throw this.fault(`a store of more than ${WIDEST} bytes`);
    return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  }
  fault(what: string): Fault {
    return new Fault('bad-log', what, { at: this.#at });
  }
}
