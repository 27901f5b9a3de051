// The programs that are measured, as C and assembler text: loops of calls that differ in nothing
// but the call, and key after key with as many sites as wanted, at a stated distance. They are
// compiled when the benchmark runs.

/**
 * How calls are made in a loop; `site` is the one that is patched, left alone and emptied in turn.
 */
export const WAYS = {
  direct: { name: 'direct call', body: 'call bench_target' },
  copy: { name: 'direct call, a second copy of the loop (control)', body: 'call bench_target' },
  site: { name: '', body: 'call __SCT__bench_key' },
  guard: {
    name: 'test of a flag, then a direct call',
    body: 'cmpb $0, bench_flag(%rip)\n\tje 9f\n\tcall bench_target\n9:',
  },
  pointer: { name: 'function pointer, near target', body: 'call *bench_near(%rip)' },
  far: { name: 'function pointer, target in another object', body: 'call *bench_far(%rip)' },
  plt: { name: 'PLT: call of a stub that jumps through the GOT', body: 'call bench_plt' },
  noplt: { name: '-fno-plt: call through the GOT', body: 'call *bench_got(%rip)' },
  retpoline: {
    name: 'retpoline, as the compiler writes it',
    body: 'mov bench_near(%rip), %r11\n\tcall bench_thunk',
  },
  fence: {
    name: "lfence and an indirect call: AMD's retpoline",
    body: 'mov bench_near(%rip), %r11\n\tlfence\n\tcall *%r11',
  },
} as const;
export type Way = keyof typeof WAYS;

/** What the loops are made of besides the call. */
export const SHAPES = {
  tight: { name: 'one call in a loop', calls: 1, work: '' },
  four: { name: 'four calls in a loop, each waiting for the last', calls: 4, work: '' },
  work: {
    name: 'four calls in a loop, eight additions between them',
    calls: 4,
    work: '\n' + [8, 9, 10, 11, 8, 9, 10, 11].map((r) => `\tadd $1, %r${r}`).join('\n'),
  },
  many: { name: '4,096 calls one after the other', calls: 4096, work: '' },
} as const;
export type Shape = keyof typeof SHAPES;

function loop(name: string, calls: number, way: string, work: string): string {
  // Same place in its page for each: where a loop lies outweighs what it calls. The counter
  // survives every callee.
  return `
	.balign 4096
	.globl ${name}
	.type ${name}, @function
${name}:
	push %rbx
	mov %rdi, %rbx
	xor %eax, %eax
	.balign 64
1:
	.rept ${calls}
	${way}${work}
	.endr
	dec %rbx
	jnz 1b
	pop %rbx
	ret
	.size ${name}, . - ${name}`;
}

/** Pointers that the loop of changing targets goes through; more than any predictor keeps. */
export const POINTERS = 1 << 16;

const changing = (name: string): string => `
	.balign 4096
	.globl ${name}
	.type ${name}, @function
${name}:
	push %rbx
	mov %rdi, %rbx
	xor %eax, %eax
	lea bench_pointers(%rip), %rdx
	.balign 64
1:
	mov %ebx, %ecx
	and $${POINTERS - 1}, %ecx
	call *(%rdx,%rcx,8)
	dec %rbx
	jnz 1b
	pop %rbx
	ret
	.size ${name}, . - ${name}`;

/** Assembler text as C has it. */
const assembler = (text: string): string =>
  `__asm__(\n${text
    .split('\n')
    .map((line) => JSON.stringify(`${line}\n`))
    .join('\n')});`;

export function callsSource(): string {
  const loops = Object.entries(SHAPES).flatMap(([shape, { calls, work }]) =>
    Object.entries(WAYS).map(([way, { body }]) => loop(`bench_${shape}_${way}`, calls, body, work)),
  );
  return `#include <static_call.h>
#define HIDDEN __attribute__((visibility("hidden")))
HIDDEN void bench_target(void);
HIDDEN void bench_other(void);
DEFINE_STATIC_CALL(bench_key, bench_target);
STATIC_CALL_TARGET(bench_key, bench_other);
STATIC_CALL_TARGET_NULL(bench_key);
HIDDEN volatile unsigned char bench_flag = 1;
HIDDEN void (*bench_near)(void) = bench_target;
HIDDEN void (*bench_far)(void) = bench_target;
HIDDEN void (*bench_got)(void) = bench_target;
HIDDEN void (*bench_pointers[${POINTERS}])(void);

/* All pointers are one target, or by a fixed sequence of chance one of two. */
void bench_mix(int mixed)
{
	unsigned int state = 12345;
	for (int i = 0; i < ${POINTERS}; i++) {
		state = state * 1664525u + 1013904223u;
		bench_pointers[i] = mixed && (state >> 31) ? bench_other : bench_target;
	}
}

/* Where the loops find the target that lies in another object. */
void bench_aim(long long far)
{
	bench_far = bench_got = (void (*)(void))far;
}

${assembler(`
	.text
	.balign 64
	.globl bench_target
	.hidden bench_target
	.type bench_target, @function
bench_target:
	add $1, %rax
	ret
	.size bench_target, . - bench_target
	.balign 64
	.globl bench_other
	.hidden bench_other
	.type bench_other, @function
bench_other:
	add $1, %rax
	ret
	.size bench_other, . - bench_other
	.balign 64
bench_plt:
	jmp *bench_got(%rip)
	.balign 64
	.type bench_thunk, @function
bench_thunk:
	call 2f
3:	pause
	lfence
	jmp 3b
2:	mov %r11, (%rsp)
	ret
	.size bench_thunk, . - bench_thunk${[...loops, changing('bench_changing')].join('')}`)}
`;
}

/** What a branch goes to, out of the loop's way, and back. */
const ASIDE = '9:\n\t.subsection 1\n8:\tjmp 9b\n\t.subsection 0';

/** How a loop branches; what is aside is one jump back. */
export const BRANCH_WAYS = {
  empty: '',
  copy: '',
  jump: `.byte 0xe9\n\t.long 8f - . - 4\n${ASIDE}`,
  'jump-copy': `.byte 0xe9\n\t.long 8f - . - 4\n${ASIDE}`,
  static:
    '7:\t.byte 0xa9\n\t.long 8f - . - 4\n' +
    '\t.pushsection static_key_sites, "aw"\n\t.balign 8\n\t.long 7b - ., 8f - .\n' +
    `\t.quad bench_switch\n\t.popsection\n${ASIDE}`,
  flag: `cmpb $0, bench_flag(%rip)\n\tjne 8f\n${ASIDE}`,
  atomic: `mov bench_word(%rip), %ecx\n\ttest %ecx, %ecx\n\tjne 8f\n${ASIDE}`,
} as const;

/**
 * One branch, and more than a predictor keeps apart.
 *
 * `many` is the dearest case of a branch that is off. That is `test eax, imm32`, which needs one of
 * the four integer ALUs of Zen 3, and six nops are dispatched in the same cycle. One other
 * instruction between two of them hides the difference.
 */
export const BRANCH_SHAPES = {
  tight: { name: 'one in a loop', branches: 1, empty: 'an empty loop', filler: '' },
  many: {
    name: '4,096 one after the other',
    branches: 4096,
    empty: 'a nop of five bytes',
    filler: '.byte 0x0f, 0x1f, 0x44, 0x00, 0x00',
  },
} as const;
export type BranchShape = keyof typeof BRANCH_SHAPES;

export function branchesSource(): string {
  const loops = Object.entries(BRANCH_SHAPES).flatMap(([shape, { branches, filler }]) =>
    Object.entries(BRANCH_WAYS).map(([way, body]) =>
      loop(`bench_${shape}_${way}`.replaceAll('-', '_'), branches, body || filler, ''),
    ),
  );
  return `#include <static_key.h>
#define HIDDEN __attribute__((visibility("hidden")))
DEFINE_STATIC_KEY_FALSE(bench_switch);
HIDDEN volatile unsigned char bench_flag;
HIDDEN volatile int bench_word;

void bench_set(int on)
{
	bench_flag = (unsigned char)on;
	__atomic_store_n(&bench_word, on, __ATOMIC_RELEASE);
}

${assembler(`\t.text${loops.join('')}`)}
`;
}

/**
 * Bytes from one function to the other: three of the four bytes of a displacement differ, wherever
 * the site lies. Between neighbours one byte may, and `auto` would need no trap.
 */
const BETWEEN = 0x10110;

/**
 * A key of many sites: functions of one call each, a stated number of bytes from each other, and
 * their table as objtool would write it, so that a million of them need not be found by decoding.
 */
/** @param offset of the first site in its line */
export function sitesSource(count: number, apart: number, offset = 0): string {
  return `#include <static_call.h>
void many_a(void);
void many_b(void);
DEFINE_STATIC_CALL(many, many_a);
STATIC_CALL_TARGET(many, many_b);
STATIC_CALL_TARGET_NULL(many);
${assembler(`
	.text
	.balign 4096
	.org . + ${offset}, 0xcc
	.globl many_sites
	.type many_sites, @function
many_sites:${sitesOf('many', count, apart)}
	.size many_sites, . - many_sites
	.globl many_b
	.type many_b, @function
many_b:
	ret
	.size many_b, . - many_b
	.org many_b + ${BETWEEN}, 0xcc
	.globl many_a
	.type many_a, @function
many_a:
	ret
	.size many_a, . - many_a`)}
`;
}

const tableOf = (key: string): string => `
	.pushsection .static_call_sites, "aw"
	.long 9b - ., __SCK__${key} - .
	.popsection`;

const sitesOf = (key: string, count: number, apart: number, table = tableOf(key)): string => `
	.rept ${count}
9:	call __SCT__${key}
	ret
	.skip ${apart - 6}, 0xcc${table}
	.endr`;

/** The same of several keys: runs of sites behind each other. A key may have several runs. */
export function keysSource(
  runs: readonly (readonly [key: string, count: number])[],
  apart: number,
): string {
  const keys = [...new Set(runs.map(([key]) => key))];
  const defined = keys.map(
    (key) => `DEFINE_STATIC_CALL(${key}, many_a);\nSTATIC_CALL_TARGET(${key}, many_b);`,
  );
  const sites = runs.map(([key, count]) => sitesOf(key, count, apart));
  return `#include <static_call.h>
__attribute__((noinline)) void many_a(void) { __asm__ volatile(""); }
__attribute__((noinline)) void many_b(void) { __asm__ volatile("" ::: "memory"); }
${defined.join('\n')}
${assembler(`
	.text
	.balign 4096
	.globl many_sites
	.type many_sites, @function
many_sites:${sites.join('')}
	.size many_sites, . - many_sites`)}
`;
}

/**
 * A key of one site and a key of many, in a program that bench/outside.c is the rest of. No table
 * is written with the sites: `cc --runtime` writes one, and a tool finds them by decoding. Every
 * byte of the two displacements may differ.
 */
export function outsideSource(many: number, apart: number): string {
  const keys = ['one', 'many'].map(
    (key) => `DEFINE_STATIC_CALL(${key}, many_a);
STATIC_CALL_TARGET(${key}, many_b);
STATIC_CALL_TARGET_NULL(${key});`,
  );
  return `#include <static_call.h>
void many_a(void);
void many_b(void);
${keys.join('\n')}
${assembler(`
	.text
	.balign 4096
	.globl many_a
	.type many_a, @function
many_a:
	ret
	.size many_a, . - many_a
	.balign 4096
	.globl many_sites
	.type many_sites, @function
many_sites:${sitesOf('one', 1, apart, '')}${sitesOf('many', many, apart, '')}
	.size many_sites, . - many_sites
	.skip 4096 + 119, 0xcc
	.globl many_b
	.type many_b, @function
many_b:
	ret
	.size many_b, . - many_b`)}
`;
}

/** Functions that XRay instruments, two sleds each; xray.c measures them. */
export function xraySource(count: number): string {
  const numbers = Array.from({ length: count }, (_, i) => i);
  const instrumented = '__attribute__((noinline, xray_always_instrument)) void';
  const functions = numbers.map((i) => `${instrumented} f${i}(void) { __asm__ volatile(""); }`);
  return `${functions.join('\n')}
void (*const functions[])(void) = {${numbers.map((i) => `f${i}`).join(', ')}};
const int count = ${count};
`;
}

/** Functions that call keys of another file and do a little besides: for what reads objects. */
export function objectSource(functions: number): string {
  const numbers = Array.from({ length: functions }, (_, i) => i);
  const called = (i: number): string => `static_call(${i % 2 ? 'first' : 'second'}_key)(a + ${i})`;
  const bodies = numbers.map((i) => `int f${i}(int a) { return ${called(i)} * ${i % 7}; }`);
  return `#include <static_call.h>
int first(int a);
DECLARE_STATIC_CALL(first_key, first);
DECLARE_STATIC_CALL(second_key, first);
${bodies.join('\n')}
`;
}
