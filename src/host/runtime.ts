// The C file that a program links in order to update its own static calls. Its first half is made
// here: the page of machine code that every patched process has, byte for byte, and the tables by
// which TypeScript draws and runs an update, as C. The second half is written by hand
// (include/static_call_runtime.c) and reads these.
//
// An object file would save the user one compilation. It would have no part in his link-time
// optimisation, sanitizers and warnings, and its policy would be bytes that no user can read.

import { INT3 } from '../asm/table.js';
import { place } from '../asm/assembler.js';
import { SA } from '../base/linux.js';
import { invariant, unreachable } from '../base/invariant.js';
import { image, type Piece } from '../native/image.js';
import { FORM, LENGTHS, SURVEY } from '../native/survey.js';
import { RETURN, RETURN0, VENEER, VENEER_SIZE } from '../native/veneer.js';
import { KINDS, WORD_OF } from '../plan/draw.js';
import { BACK } from '../machine/transact.js';
import { auto } from '../plan/protocols/auto.js';
import { isFor, type Step } from '../plan/protocol.js';
import { formOf, rowsOf, type TargetKind } from '../plan/transform.js';
import { hidingForm } from '../plan/way.js';
import { WAY, waysOf } from '../plan/ways.js';
import { DATA, EMULATE, GROUP, MAGIC, RECORD, SLOT, TABLE, VERSION } from '../trap/registry.js';
import type { SiteKind } from '../sites/site.js';
import { DISPLACEMENT, LONGEST_SITE, SHORTEST_SITE, SITE_FORMS } from '../x86/forms.js';

const TARGETS: readonly TargetKind[] = ['function', 'null', 'ret0', 'on', 'off'];
const WAYS = ['nowhere', 'target', 'return', 'return0', 'own'] as const;
type Way = (typeof WAYS)[number];
/** Where in the page's pieces the C code enters. */
const ENTRIES = [
  ['handler', 'handler', null],
  ['gone', 'request', 'gone'],
  ['prepare', 'fork', 'prepare'],
  ['parent', 'fork', 'parent'],
  ['child', 'fork', 'child'],
  ['draw', 'survey', 'survey'],
  ['restorer', 'borrow', 'restorer'],
] as const satisfies readonly (readonly [string, Piece['name'], string | null])[];

const upper = (name: string): string => name.replace(/[A-Z]/g, '_$&').toUpperCase();
/** `inline` is a word of C. */
const lower = (name: string): string =>
  name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`).replace(/^inline$/, 'inline_');
const hex = (byte: number): string => `0x${byte.toString(16).padStart(2, '0')}`;
/** Eight bytes as C reads them from memory. */
const word = (bytes: Uint8Array): string =>
  `0x${[...bytes]
    .reverse()
    .map((b) => b.toString(16).padStart(2, '0'))
    .join('')}u`;

/**
 * A layout as the C structure that has it. A field is as wide as the room before the next one, at
 * most eight bytes; what is left is padding.
 */
function structure(name: string, layout: Readonly<Record<string, number>>, size: number): string {
  const fields = Object.entries(layout)
    .filter(([field]) => field !== 'size' && field !== 'slots' && field !== 'columns')
    .sort(([, a], [, b]) => a - b);
  let pads = 0;
  const lines = fields.map(([field, at], i) => {
    const end = fields[i + 1]?.[1] ?? size;
    const width = widthOf(at, end);
    const rest = end - at - width;
    const padding = rest > 0 ? `\n\tunsigned char pad${pads++}[${rest}];` : '';
    return `\tuint${8 * width}_t ${lower(field)};${padding}`;
  });
  return `struct sc_${name} {\n${lines.join('\n')}\n};`;
}

function widthOf(at: number, end: number): number {
  for (const width of [8, 4, 2]) if (at % width === 0 && end - at >= width) return width;
  return 1;
}

const names = (name: string, prefix: string, values: readonly string[]): string =>
  `enum sc_${name} {\n${values.map((value) => `\t${prefix}_${upper(value)},`).join('\n')}\n\t${prefix}_COUNT\n};`;

const values = (prefix: string, rows: readonly (readonly [string, string | number])[]): string =>
  rows.map(([name, value]) => `#define ${prefix}_${upper(name)} ${value}`).join('\n');

/** Bytes as rows of an array. */
function array(name: string, bytes: Uint8Array): string {
  const rows: string[] = [];
  for (let i = 0; i < bytes.length; i += 16)
    rows.push(`\t${[...bytes.subarray(i, i + 16)].map(hex).join(', ')},`);
  return `static const unsigned char ${name}[] = {\n${rows.join('\n')}\n};`;
}

/** The page, its words still to be filled, and where these are. */
function page(): { readonly code: string; readonly words: string; readonly entries: string } {
  const pieces = image();
  const [last] = pieces.slice(-1);
  invariant(last, 'the page has pieces');
  const bytes = new Uint8Array(last.offset + last.code.bytes.length).fill(INT3);
  const words: number[] = [];
  for (const { offset, code } of pieces) {
    bytes.set(place(code, code.words.length === 0 ? {} : { data: 0 }), offset);
    for (const relocated of code.words) {
      invariant(relocated.name === 'data', 'the one word of the page is where its data is');
      words.push(offset + relocated.offset);
    }
  }
  const entries = ENTRIES.map(([name, home, label]): readonly [string, number] => {
    const piece = pieces.find((p) => p.name === home);
    const at = label === null ? 0 : piece?.code.labels.get(label);
    invariant(piece && at !== undefined, `the page has an entry ${name}`);
    return [name, piece.offset + at];
  });
  return {
    code: array('sc_code', bytes),
    words: `static const uint16_t sc_data_words[] = {${words.join(', ')}};`,
    entries: values('SC_AT', entries),
  };
}

/** Which instruction a site gets for which target, by kind, target and length. */
function transforms(): string {
  const lengths = Array.from({ length: LENGTHS }, (_, i) => SHORTEST_SITE + i);
  const form = (kind: SiteKind, target: TargetKind, length: number): string => {
    const row = rowsOf(kind)[target];
    if (row?.forms[length] === undefined) return '{0, 0, -1}';
    const { bytes, displacement, keeps } = formOf(kind, target, length);
    if (!keeps && row.to !== 'own') return `{${word(bytes)}, 0, ${displacement}}`;
    const kept = new Uint8Array(length);
    // What keeps its displacement is given none.
    return `{${word(bytes)}, ${word(kept.fill(0xff, length - DISPLACEMENT))}, -1}`;
  };
  const rows = KINDS.flatMap((kind) =>
    TARGETS.map((target) => {
      const { emulate, to } = rowsOf(kind)[target] ?? { emulate: 'none', to: null };
      const way: Way = to ?? 'nowhere';
      const forms = lengths.map((length) => form(kind, target, length)).join(', ');
      return (
        `\t[SC_KIND_${upper(kind)}][SC_TARGET_${upper(target)}] = ` +
        `{${EMULATE[emulate]}, SC_TO_${upper(way)}, {${forms}}},`
      );
    }),
  );
  return `static const struct sc_transform {
	uint64_t emulate;
	enum sc_to to;
	struct {
		uint64_t bytes, kept;
		int displacement; /* -1: none */
	} forms[SC_LENGTHS];
} sc_transforms[SC_KIND_COUNT][SC_TARGET_COUNT] = {
${rows.join('\n')}
};`;
}

/** What compilers and linkers make of a call to a trampoline. */
function compiled(): string {
  const rows = Object.values(SITE_FORMS)
    .filter((form) => form.compiled)
    .map((form) => {
      const kind = KINDS.find((k) => k === form.effect);
      invariant(kind, `${form.name} is a call or a jump`);
      const { length, displacement, indirect, bytes, mask } = form;
      return (
        `\t{SC_KIND_${upper(kind)}, ${length}, ${displacement}, ${indirect ? 1 : 0}, ` +
        `{${[...bytes].map(hex).join(', ')}}, {${[...mask].map(hex).join(', ')}}},`
      );
    });
  return `static const struct {
	uint8_t kind, length, displacement, indirect;
	unsigned char bytes[8], mask[8];
} sc_compiled[] = {
${rows.join('\n')}
};`;
}

/**
 * The ways that sites may go: /proc/self/mem promises no store of several bytes that is one.
 */
const ALLOWED: number = waysOf(auto.ways ?? []) & ~WAY.store;

/** Steps, with their reasons. */
function steps(name: string, all: readonly Step[]): string {
  const rows = all.map((step) => `\t{${stepOf(step)}}, /* ${step.why} */`);
  return `static const struct sc_step ${name}[] = {\n${rows.join('\n')}\n};`;
}

/** The protocol, and the way back where a step of it fails. */
function protocol(): string {
  const all = auto.steps.filter((step) => isFor(step, ALLOWED));
  const isNew = (step: Step): boolean => step.do === 'store' && step.bytes === 'new';
  // As in machine/transact.ts: with a site on a trap, and without.
  const switched = all.findIndex((s) => isNew(s) && s.do === 'store' && s.part === 'first');
  const last = all.findLastIndex((s) => isNew(s) && s.do === 'store' && s.part !== 'first');
  const back = BACK.filter((step) => isFor(step, ALLOWED)).map((step) =>
    step.do === 'store' ? { ...step, bytes: 'old' as const } : step,
  );
  return `/* ${auto.name}: ${auto.about}. */
struct sc_step {
	enum sc_do do_;
	enum sc_part part;
	enum sc_bytes bytes;
	uint8_t ways; /* of the sites that take part; 0: all */
};
${steps('sc_steps', all)}
#define SC_STEP_COUNT ${all.length}
/* The first step after which a trapped site may run its new instruction, and the last store where none is trapped. */
#define SC_SWITCHED ${switched}
#define SC_LAST_STORE ${last}
${steps('sc_back', back)}
#define SC_BACK_COUNT ${back.length}
#define SC_WAYS ${ALLOWED}u
#define SC_WAY_TRAP ${WAY.trap}u`;
}

/** What stands at a site while it is off, for the kinds whose form then keeps its displacement. */
function hiding(): string {
  const lengths = Array.from({ length: LENGTHS }, (_, i) => SHORTEST_SITE + i);
  const row = (kind: SiteKind, length: number): string => {
    const off = hidingForm(kind, length);
    // A site is shorter than eight bytes: no site holds this one.
    if (off === null) return '{0xff00000000000000u, 0xff00000000000000u, 0}';
    const opcode = length - DISPLACEMENT - 1;
    const ones = (count: number): string => word(new Uint8Array(8).fill(0xff, 0, count));
    return `{${word(off.bytes.slice(0, opcode + 1))}, ${ones(opcode + 1)}, ${ones(opcode)}}`;
  };
  const rows = KINDS.map(
    (kind) =>
      `\t[SC_KIND_${upper(kind)}] = {${lengths.map((length) => row(kind, length)).join(', ')}},`,
  );
  return `static const struct {
	uint64_t off, head, prefix;
} sc_hiding[SC_KIND_COUNT][SC_LENGTHS] = {
${rows.join('\n')}
};`;
}

function stepOf(step: Step): string {
  const ways = step.ways === undefined ? 0 : waysOf(step.ways) & ALLOWED;
  switch (step.do) {
    case 'publish':
    case 'sync':
      return `SC_DO_${upper(step.do)}, SC_PART_FIRST, SC_BYTES_NEW, ${ways}`;
    case 'store':
      invariant(
        step.part !== 'whole' && step.part !== 'changed',
        'no store of several bytes is one here',
      );
      return `SC_DO_STORE, SC_PART_${upper(step.part)}, SC_BYTES_${upper(step.bytes)}, ${ways}`;
    case 'retire':
    case 'write':
    case 'store-head':
    case 'store-tail':
    case 'restore-head':
    case 'count':
    case 'stop':
    case 'release':
    case 'await':
    case 'exchange':
    case 'retry':
    case 'grace':
    case 'emit':
      throw new Error(`a program cannot perform the step ${step.do}`);
    default:
      return unreachable(step);
  }
}

/** The generated half: everything that the engine has in common with TypeScript. */
function tables(): string {
  const { code, words, entries } = page();
  const padded = (bytes: Uint8Array): Uint8Array => {
    const whole = new Uint8Array(VENEER_SIZE).fill(INT3);
    whole.set(bytes);
    return whole;
  };
  const [target] = VENEER.words;
  invariant(target?.name === 'target', 'the one word of a veneer is its target');
  const flags = SA.siginfo | SA.onStack | SA.restart | SA.noDefer | SA.restorer;
  return [
    `#define SC_MAGIC 0x${MAGIC.toString(16)}u\n#define SC_VERSION ${VERSION}u\n#define SC_INT3 ${hex(INT3)}`,
    `#define SC_HANDLER_FLAGS 0x${flags.toString(16)}u`,
    `#define SC_SHORTEST ${SHORTEST_SITE}\n#define SC_LENGTHS ${LENGTHS}\n#define SC_LONGEST ${LONGEST_SITE}`,
    structure('data', DATA, DATA.size),
    structure('table', TABLE, TABLE.slots),
    structure('slot', SLOT, SLOT.size),
    structure('record', RECORD, RECORD.size),
    structure('group', GROUP, GROUP.columns),
    structure('survey', SURVEY, SURVEY.restores + 8),
    structure('form', FORM, FORM.size),
    names('kind', 'SC_KIND', KINDS),
    names('target_kind', 'SC_TARGET', TARGETS),
    names('to', 'SC_TO', WAYS),
    transforms(),
    compiled(),
    `static const uint8_t sc_word_of[] = {${KINDS.map((kind) => WORD_OF[kind]).join(', ')}};`,
    'enum sc_do { SC_DO_PUBLISH, SC_DO_STORE, SC_DO_SYNC };',
    names('part', 'SC_PART', ['first', 'rest', 'byte', 'opcode', 'displacement']),
    hiding(),
    `#define SC_DISPLACEMENT ${DISPLACEMENT}`,
    'enum sc_bytes { SC_BYTES_TRAP, SC_BYTES_OLD, SC_BYTES_NEW };',
    protocol(),
    `#define SC_VENEER_SIZE ${VENEER_SIZE}\n#define SC_VENEER_TARGET ${target.offset}`,
    array('sc_veneer', padded(place(VENEER, { target: 0 }))),
    array('sc_return', padded(RETURN.bytes)),
    array('sc_return0', padded(RETURN0.bytes)),
    entries,
    words,
    code,
  ].join('\n\n');
}

/**
 * The whole file.
 * @param engine include/static_call_runtime.c
 */
export function runtimeSource(engine: string, version: string): string {
  return `/* SPDX-License-Identifier: MIT
 *
 * The runtime of static calls, made by static-call ${version} (static-call runtime). Do not edit it:
 * write it again with another version. It may be compiled into any program, under the MIT license
 * of static-call, Copyright (c) 2026 the static-call authors:
 *
 *   Permission is granted, free of charge, to any person obtaining a copy of this file, to deal in it
 *   without restriction, including the rights to use, copy, modify, merge, publish, distribute,
 *   sublicense and sell copies, provided that this notice is in all copies or substantial portions.
 *   It is provided "as is", without warranty of any kind, and its authors are not liable for any claim.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#ifndef STATIC_CALL_RUNTIME
#define STATIC_CALL_RUNTIME 1
#endif

#include <static_call.h>
#include <static_key.h>
#include <stdbool.h>
#include <stdint.h>

/* ---- What it has in common with other runtimes: made from the tables of static-call ---------------- */

${tables()}

${engine}`;
}
