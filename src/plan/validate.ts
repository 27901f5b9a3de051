// A protocol that a user hands in, held against the interface of protocol.ts: the first field
// that does not fit is named, with what was found there. The table says for each kind of step which
// fields it has; the compiler sees to it that no kind is missing.

import { decode } from '../asm/decode.js';
import { LINE, UNITS } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import { didYouMean } from '../base/nearest.js';
import { LONGEST_SITE, SHORTEST_SITE } from '../x86/forms.js';
import { W64 as REGISTERS } from '../asm/operand.js';
import {
  ORDERS,
  PROMISES,
  SYNC_KINDS,
  type Protocol,
  type SiteText,
  type Step,
} from './protocol.js';
import { SLOTS, parseHandler } from './handler.js';
import { LONGEST_TEXT, parseText } from './text.js';
import { WAYS } from './ways.js';

/** Fields that may be left out. */
type Optional = Readonly<Record<string, Check>>;

type Check = { readonly what: string; readonly fits: (value: unknown) => boolean };

const text: Check = { what: 'a text', fits: (v) => typeof v === 'string' && v !== '' };
const flag: Check = { what: 'true or false', fits: (v) => typeof v === 'boolean' };
const isCount = (v: unknown): v is number => typeof v === 'number' && Number.isInteger(v) && v >= 0;
const count: Check = { what: 'a whole number from 0', fits: isCount };
const oneOf = (...words: readonly (string | null)[]): Check => ({
  what: `one of ${words.map(String).join(', ')}`,
  fits: (v) => words.some((word) => word === v),
});

const oneOrTwo: Check = { what: '1 or 2', fits: (v) => v === 1 || v === 2 };

/** Bytes that begin with an instruction of the simulated CPU, all of it. */
const isInstruction = (bytes: readonly number[]): boolean => typeof decode(bytes) !== 'string';

const byteList: Check = {
  what: `1 to ${SHORTEST_SITE} bytes, as many as every site has, that begin with a whole instruction`,
  fits: (v) =>
    Array.isArray(v) &&
    v.length > 0 &&
    v.length <= SHORTEST_SITE &&
    v.every((byte) => Number.isInteger(byte) && byte >= 0 && byte <= 255) &&
    isInstruction(v),
};

const offset: Check = {
  what: `an offset in the text that is patched, 0 to ${LONGEST_TEXT - 1}`,
  fits: (v) => isCount(v) && v < LONGEST_TEXT,
};
const isInLine = (v: unknown): v is number => isCount(v) && v < LINE;
const offsets: Check = {
  what: `a list of offsets from 0 to ${LINE - 1}, or { align: a power of two, at: a number below it }`,
  fits: (v) =>
    Array.isArray(v)
      ? v.length > 0 && v.every(isInLine)
      : isRecord(v) &&
        Object.keys(v).every((name) => name === 'align' || name === 'at') &&
        isInLine(Number(v['align']) - 1) &&
        Number.isInteger(Math.log2(Number(v['align']))) &&
        isCount(v['at']) &&
        v['at'] < Number(v['align']),
};
const isPattern = (v: unknown): boolean =>
  typeof v === 'string' &&
  /^[0-9a-f]{2}( ([0-9a-f]{2}|\.\.))*$/.test(v) &&
  [0, 255].every((any) =>
    isInstruction(v.split(' ').map((byte) => (byte === '..' ? any : parseInt(byte, 16)))),
  );
const pattern: Check = {
  what: 'a list of whole instructions in hexadecimal, such as "0f 1f 44 00 .."',
  fits: (v) => Array.isArray(v) && v.length > 0 && v.every(isPattern),
};

const slots: Check = {
  what: `how many words it keeps data in, up to ${SLOTS}`,
  fits: (v) => isCount(v) && v <= SLOTS,
};
const names: Check = {
  what: 'a list of texts',
  fits: (v) => Array.isArray(v) && v.length > 0 && v.every(text.fits),
};
const registers: Check = {
  what: `a list of registers, of ${REGISTERS.join(', ')}`,
  fits: (v) => Array.isArray(v) && v.every((name) => REGISTERS.some((known) => known === name)),
};
const textStates: Check = {
  what: 'a list of two states or more',
  fits: (v) => Array.isArray(v) && v.length > 1,
};
/** Fields of `text`, all of which may be left out. */
const TEXT: Readonly<Record<keyof SiteText, Check>> = {
  also: pattern,
  states: textStates,
  ends: oneOf('behind', 'return'),
  entry: offset,
  changes: registers,
  leaf: flag,
};
/** Fields of one state. */
const STATE = {
  name: text,
  runs: oneOf('A', 'B', 'C', 'null', 'ret0'),
  bytes: text,
};
const STATE_MAY_HAVE: Optional = {
  trap: { what: "'ret' or an offset", fits: (v) => v === 'ret' || offset.fits(v) },
  fresh: text,
};

const part = oneOf('first', 'rest', 'whole', 'changed', 'byte', 'opcode', 'displacement');
const wayList: Check = {
  what: `a list of ${WAYS.join(', ')}`,
  fits: (v) =>
    Array.isArray(v) && v.length > 0 && v.every((way) => WAYS.some((known) => known === way)),
};

/** Fields beside `do` and `why`. */
const STEPS: Readonly<Record<Step['do'], Readonly<Record<string, Check>>>> = {
  publish: {},
  store: { part, bytes: oneOf('trap', 'old', 'new'), as: oneOf('one', 'exchange', 'bytes') },
  write: {
    at: offset,
    bytes: { what: 'a number of bytes from 1 to 8', fits: (v) => isCount(v) && v >= 1 && v <= 8 },
    from: oneOf('trap', 'old', 'new'),
    as: oneOf('one', 'exchange', 'merge', 'bytes'),
  },
  sync: {},
  grace: {},
  emit: { as: oneOf('one', 'bytes') },
  retire: {},
  'store-head': { bytes: byteList },
  'store-tail': {},
  'restore-head': {},
  count: { word: text, by: { what: '1 or -1', fits: (v) => v === 1 || v === -1 } },
  stop: {},
  release: { serialise: flag },
  await: { word: text, is: count },
  exchange: { word: text, from: count, to: count },
  retry: {
    to: count,
    word: text,
    is: count,
    times: {
      what: 'a whole number from 1 to 15',
      fits: (v) => isCount(v) && v >= 1 && v <= 15,
    },
  },
};

/** Fields that a step may leave out, beside `ways` and `into`. */
const OPTIONAL: Readonly<Partial<Record<Step['do'], Optional>>> = {
  sync: { how: oneOf(...SYNC_KINDS) },
};

const isStepName = (word: unknown): word is Step['do'] =>
  typeof word === 'string' && Object.hasOwn(STEPS, word);

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Names of steps that were others in the first versions. */
const RENAMED: Readonly<Record<string, Step['do']>> = {
  plant: 'store-head',
  behind: 'store-tail',
  unplant: 'restore-head',
};
const stepNamed = (word: string): string | undefined => {
  const now = Object.hasOwn(RENAMED, word) ? RENAMED[word] : undefined;
  return now === undefined ? didYouMean(word, Object.keys(STEPS)) : `${word} is ${now} now`;
};

function show(value: unknown): string {
  const said = JSON.stringify(value);
  if (said === undefined) return String(value);
  return said.length > 60 ? `${said.slice(0, 57)}...` : said;
}

function fields(
  value: unknown,
  where: string,
  checks: Readonly<Record<string, Check>>,
  optional: Optional = {},
): void {
  if (!isRecord(value))
    throw new Fault('bad-protocol', `${where || 'the protocol'} is ${show(value)}, not an object`, {
      at: where,
    });
  const path = (name: string): string => (where === '' ? name : `${where}.${name}`);
  for (const [name, { what, fits }] of Object.entries(checks)) {
    const found = value[name];
    if (!fits(found))
      throw new Fault('bad-protocol', `${path(name)} is ${show(found)}, not ${what}`, {
        at: path(name),
      });
  }
  const known = { ...checks, ...optional };
  for (const [name, { what, fits }] of Object.entries(optional)) {
    const found = value[name];
    if (found !== undefined && !fits(found))
      throw new Fault('bad-protocol', `${path(name)} is ${show(found)}, not ${what}`, {
        at: path(name),
      });
  }
  for (const name of Object.keys(value)) {
    if (Object.hasOwn(known, name)) continue;
    const hint = didYouMean(name, Object.keys(known));
    throw new Fault(
      'bad-protocol',
      `${path(name)} is no field of it; there are ${Object.keys(known).join(', ')}`,
      { at: path(name), ...(hint ? { hint } : {}) },
    );
  }
}

const anything: Check = { what: '', fits: () => true };
const NEEDED: Readonly<Record<string, Check>> = {
  name: text,
  about: text,
  accepts: anything,
  handler: {
    what: "a handler's name, rows of its own, or null",
    fits: (v) => v === null || text.fits(v) || isRecord(v),
  },
  steps: { what: 'a list of steps', fits: (v) => Array.isArray(v) && v.length > 0 },
};
const MAY_HAVE: Optional = {
  place: anything,
  ways: wayList,
  text: anything,
  promise: oneOf(...PROMISES),
  sites: oneOrTwo,
  keys: oneOrTwo,
  order: oneOf(...ORDERS),
};

/** The value itself, if it is a protocol. @throws Fault `bad-protocol`, naming the field */
export function validateProtocol(value: unknown): Protocol {
  fields(value, '', NEEDED, MAY_HAVE);
  const protocol = value as Protocol;
  checkSeveral(protocol);
  validateHandler(protocol);
  fields(protocol.accepts, 'accepts', {
    bytes: oneOf('changed', 'whole'),
    within: oneOf(...Object.keys(UNITS), null),
  });
  // Trapping is a way that every site may go.
  if (protocol.ways !== undefined && protocol.accepts.within !== null)
    throw new Fault('bad-protocol', 'a protocol that has ways accepts every site', {
      at: 'accepts.within',
      hint: 'give null',
    });
  if (protocol.place !== undefined)
    fields(
      protocol.place,
      'place',
      {},
      {
        from: oneOf('same-address', 'alias'),
        space: oneOf('own', 'shared'),
        offset: offsets,
      },
    );
  validateText(protocol);
  protocol.steps.forEach((step, i) => validateStep(protocol, step, i));
  return protocol;
}

function validateStep(protocol: Protocol, step: Step, i: number): void {
  const where = `steps[${i}]`;
  const kind: unknown = isRecord(step) ? step.do : undefined;
  if (!isStepName(kind)) {
    const hint = typeof kind === 'string' ? stepNamed(kind) : undefined;
    throw new Fault(
      'bad-protocol',
      `${where}.do is ${show(kind)}, not one of ${Object.keys(STEPS).join(', ')}`,
      { at: `${where}.do`, ...(hint ? { hint } : {}) },
    );
  }
  fields(
    step,
    where,
    { do: text, why: { what: 'a text: every step says why', fits: text.fits }, ...STEPS[kind] },
    { ways: wayList, into: names, ...OPTIONAL[kind] },
  );
  checkNames(protocol, step, where);
  checkInside(protocol, step, where);
  checkFresh(protocol, step, where);
  if (step.do === 'retry' && step.to >= i)
    throw new Fault('bad-protocol', `${where}.to is ${step.to}, not an earlier step`, {
      at: `${where}.to`,
    });
}

/** A handler of its own has its fields, and the assembler knows its rows. */
function validateHandler({ handler, steps }: Protocol): void {
  if (handler === null || typeof handler === 'string') return;
  fields(handler, 'handler', { call: names }, { jump: names, after: names, slots });
  parseHandler(handler);
  if (steps.some(({ do: what }) => ['count', 'await', 'exchange', 'retry'].includes(what)))
    throw new Fault('bad-protocol', 'a handler of its own shares no words with the steps', {
      at: 'handler',
    });
}

/** What is said of several sites and keys fits together. */
function checkSeveral({ sites = 1, keys = 1, order, ways, text: given }: Protocol): void {
  const refuse = (field: string, why: string): never => {
    throw new Fault('bad-protocol', `${field} ${why}`, { at: field });
  };
  if (keys === 2 && sites === 1) refuse('keys', 'is 2, and sites is 1: each key has a site');
  if (order !== undefined && (sites === 1 || keys === 2))
    refuse('order', 'says nothing where an update changes one site');
  if (sites === 1) return;
  if (ways !== undefined) refuse('sites', 'is 2, and each site of a batch goes a way of its own');
  if (given?.states !== undefined) refuse('sites', 'is 2, and text.states is the text of one');
}

/** The states of `text`, if the protocol brings its own: each has its fields, and decodes. */
function validateText({ text: given, ways }: Protocol): void {
  if (given === undefined) return;
  fields(given, 'text', {}, TEXT);
  const { states } = given;
  if (states === undefined) return;
  if (ways !== undefined)
    throw new Fault('bad-protocol', 'ways says nothing of a text of its own', { at: 'ways' });
  for (const [i, state] of states.entries())
    fields(state, `text.states[${i}]`, STATE, STATE_MAY_HAVE);
  parseText(given);
}

/** The states that a step is for are states of the text. */
function checkNames({ text: given }: Protocol, { into = [] }: Step, where: string): void {
  const known = (given?.states ?? []).map(({ name }) => name);
  const unknown = into.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const hint = didYouMean(unknown, known);
  throw new Fault('bad-protocol', `${where}.into names ${unknown}, which is no state of the text`, {
    at: `${where}.into`,
    ...(hint ? { hint } : {}),
  });
}

/** A store begins inside the longest site, where the protocol brings no text that is longer. */
function checkInside({ text: given }: Protocol, step: Step, where: string): void {
  if (given?.states !== undefined || step.do !== 'write' || step.at < LONGEST_SITE) return;
  throw new Fault(
    'bad-protocol',
    `${where}.at is ${step.at}, not an offset in a site, 0 to ${LONGEST_SITE - 1}`,
    { at: `${where}.at` },
  );
}

/** What `emit` stores is there, and some state leads to it. */
function checkFresh({ text: given }: Protocol, step: Step, where: string): void {
  if (step.do !== 'emit' || given?.states?.[0]?.fresh !== undefined) return;
  throw new Fault(
    'bad-protocol',
    `${where}.do is emit, and text.states[0] has no fresh code, not even what its place held before`,
    { at: `${where}.do` },
  );
}
