// Small objects on which the kernel's objtool was asked what a site is. `sites` is what annotate
// must find, in the table's order; `objtool` says why the referee is not followed, where it is not.

export interface Case {
  readonly name: string;
  readonly source: string;
  /** `section+offset key`, with `tail` at the end where it is one. */
  readonly sites: readonly string[];
  readonly module?: boolean;
  /** Refused by us with this code. */
  readonly fault?: string;
  readonly objtool?:
    | 'refuses the file'
    | 'writes half a table'
    | 'knows no GOT'
    | 'lists a jump of two bytes'
    | 'does not see the trampoline behind another name';
}

const keys = (...names: string[]): string =>
  ` .data\n .quad ${names.map((n) => `__SCK__${n}`).join(', ')}\n`;
const f = (body: string, name = 'f'): string =>
  ` .globl ${name}; .type ${name},@function\n${name}: ${body}\n .size ${name},.-${name}\n`;
const trampoline = (
  name: string,
  body = 'ret; int3; int3; int3; int3',
  bind = `.globl __SCT__${name}`,
  type = '@function',
): string =>
  ` .section .static_call.text,"ax"\n .balign 4\n ${bind}; .type __SCT__${name},${type}\n__SCT__${name}: ${body}\n .byte 0x0f,0xb9,0xcc\n .size __SCT__${name},8\n`;

export const CASES: readonly Case[] = [
  // keys
  {
    name: 'a call, the key defined elsewhere',
    source: f('push %rbp; call __SCT__a; pop %rbp; ret') + keys('a'),
    sites: ['.text+1 __SCK__a'],
  },
  {
    name: 'a key that the object does not know, in a module',
    source: f('call __SCT__a; ret'),
    module: true,
    sites: ['.text+0 __SCT__a'],
  },
  {
    name: 'a key that the object does not know',
    source: f('call __SCT__a; ret'),
    sites: [],
    fault: 'no-key',
    objtool: 'writes half a table',
  },
  {
    name: 'one key known and one not',
    source: f('call __SCT__a; call __SCT__b; ret') + keys('b'),
    sites: [],
    fault: 'no-key',
    objtool: 'writes half a table',
  },
  {
    name: 'one key known and one not, in a module',
    source: f('call __SCT__a; call __SCT__b; ret') + keys('b'),
    module: true,
    sites: ['.text+0 __SCT__a', '.text+5 __SCK__b'],
  },
  {
    name: 'a local key',
    source: f('call __SCT__a; ret') + ' .data\n__SCK__a: .quad 0',
    sites: ['.text+0 __SCK__a'],
  },
  {
    name: 'a weak key',
    source: `${f('call __SCT__a; ret')} .weak __SCK__a\n${keys('a')}`,
    sites: ['.text+0 __SCK__a'],
  },
  {
    name: 'a key whose name begins like another',
    source: f('call __SCT__a; call __SCT__ab; ret') + keys('ab', 'a'),
    sites: ['.text+0 __SCK__a', '.text+5 __SCK__ab'],
  },
  { name: 'an empty name', source: f('call __SCT__; ret') + keys(''), sites: ['.text+0 __SCK__'] },

  // kinds and order
  {
    name: 'tail calls come before calls',
    source:
      f('call __SCT__a; jmp __SCT__b') + f('call __SCT__b; jmp __SCT__a', 'g') + keys('a', 'b'),
    sites: [
      '.text+5 __SCK__b tail',
      '.text+15 __SCK__a tail',
      '.text+0 __SCK__a',
      '.text+10 __SCK__b',
    ],
  },
  {
    name: 'conditional tail calls',
    source: f('test %edi,%edi; je __SCT__a; jne __SCT__b; call __SCT__a; ret') + keys('a', 'b'),
    sites: ['.text+2 __SCK__a tail', '.text+8 __SCK__b tail', '.text+14 __SCK__a'],
  },
  {
    name: 'sections in the order of their headers, in each pass',
    source: ` .section .init.text,"ax"\n${f('call __SCT__a; jmp __SCT__b', 'i')} .text\n${f('call __SCT__b; jmp __SCT__a')} .section .exit.text,"ax"\n${f('call __SCT__a; ret', 'x')}${keys('a', 'b')}`,
    sites: [
      '.text+5 __SCK__a tail',
      '.init.text+5 __SCK__b tail',
      '.text+0 __SCK__b',
      '.init.text+0 __SCK__a',
      '.exit.text+0 __SCK__a',
    ],
  },
  {
    name: 'six hundred of them',
    source: f(' .rept 300\n call __SCT__a; jne __SCT__b\n .endr\n ret') + keys('a', 'b'),
    sites: [
      ...Array.from({ length: 300 }, (_, i) => `.text+${i * 11 + 5} __SCK__b tail`),
      ...Array.from({ length: 300 }, (_, i) => `.text+${i * 11} __SCK__a`),
    ],
  },
  {
    name: 'endbr64, loop and jrcxz around them',
    source:
      f('endbr64; mov $3,%ecx; 1: call __SCT__a; loop 1b; jrcxz 1b; jmp __SCT__a') + keys('a'),
    sites: ['.text+18 __SCK__a tail', '.text+9 __SCK__a'],
  },
  {
    name: 'a cold part in a section of its own',
    source: `${f('test %edi,%edi; je f.cold; jmp __SCT__a')} .section .text.unlikely,"ax"\n .type f.cold,@function\nf.cold: call __SCT__b; jmp __SCT__a\n .size f.cold,.-f.cold\n${keys('a', 'b')}`,
    sites: ['.text+8 __SCK__a tail', '.text.unlikely+5 __SCK__a tail', '.text.unlikely+0 __SCK__b'],
  },
  {
    name: 'jumps between functions beside them',
    source: f('je g; jmp __SCT__a') + f('jmp __SCT__b', 'g') + keys('a', 'b'),
    sites: ['.text+2 __SCK__a tail', '.text+7 __SCK__b tail'],
  },

  // what is a function
  {
    name: 'jumps outside of any function are none',
    source: `lab: call __SCT__a; jmp __SCT__a; je __SCT__a\n${keys('a')}`,
    sites: ['.text+0 __SCK__a'],
  },
  {
    name: 'the same with the trampoline defined here',
    source: `lab: call __SCT__a; jmp __SCT__a; je __SCT__a\n${trampoline('a')}${keys('a')}`,
    sites: ['.text+0 __SCK__a'],
  },
  {
    name: 'a symbol without a type is no function',
    source: ` .globl f\nf: call __SCT__a; jmp __SCT__a\n .size f,.-f\n${keys('a')}`,
    sites: ['.text+0 __SCK__a'],
  },
  {
    name: 'nor is one that says it is data',
    source: ` .globl f; .type f,@object\nf: call __SCT__a; jmp __SCT__a\n .size f,.-f\n${keys('a')}`,
    sites: ['.text+0 __SCK__a'],
  },
  {
    name: 'nor is an indirect function',
    source: ` .globl f; .type f,@gnu_indirect_function\nf: call __SCT__a; jmp __SCT__a\n .size f,.-f\n${keys('a')}`,
    sites: ['.text+0 __SCK__a'],
  },

  // sizes that lie
  {
    name: 'a size that ends before the jump',
    source: ` .globl f; .type f,@function\nf: call __SCT__a; nop; jmp __SCT__a\n .size f,3\n${keys('a')}`,
    sites: ['.text+0 __SCK__a'],
  },
  {
    name: 'no size',
    source: ` .globl f; .type f,@function\nf: call __SCT__a; jmp __SCT__a\n${keys('a')}`,
    sites: ['.text+0 __SCK__a'],
  },
  {
    name: 'a size beyond the section',
    source: ` .globl f; .type f,@function\nf: call __SCT__a; jmp __SCT__a\n .size f,1000\n${keys('a')}`,
    sites: ['.text+5 __SCK__a tail', '.text+0 __SCK__a'],
  },
  {
    name: 'functions that overlap',
    source: ` .globl f,g; .type f,@function; .type g,@function\nf: call __SCT__a\ng: jmp __SCT__a\n .size f,.-f\n .size g,.-g\n${keys('a')}`,
    sites: ['.text+5 __SCK__a tail', '.text+0 __SCK__a'],
  },
  {
    name: 'a function that begins inside an instruction of another',
    source: `${f('mov $1,%eax; call __SCT__a; jmp __SCT__a')} .globl g; .type g,@function\n .set g,f+2\n .size g,3\n${keys('a')}`,
    sites: ['.text+10 __SCK__a tail', '.text+5 __SCK__a'],
    objtool: 'refuses the file',
  },
  {
    name: 'data between functions, in step with the instructions',
    source: `${f('call __SCT__a; ret')} .byte 0x06,0x07,0x0e\n${f('call __SCT__a; ret', 'g')}${keys('a')}`,
    sites: ['.text+0 __SCK__a', '.text+9 __SCK__a'],
  },
  {
    name: 'data between functions that swallows the next instruction',
    source: `${f('call __SCT__a; ret')} .byte 0xb8\n${f('call __SCT__a; ret', 'g')}${keys('a')}`,
    sites: ['.text+0 __SCK__a', '.text+7 __SCK__a'],
    objtool: 'refuses the file',
  },

  // trampolines
  {
    name: 'trampolines of this object',
    source:
      f('call __SCT__a; jmp __SCT__b') +
      trampoline('a', 'jmp.d32 f') +
      trampoline('b') +
      keys('a', 'b'),
    sites: ['.text+5 __SCK__b tail', '.text+0 __SCK__a'],
  },
  {
    name: 'a local trampoline is none',
    source:
      f('call __SCT__a; jmp __SCT__a') +
      trampoline('a', 'jmp.d32 f', '.local __SCT__a') +
      keys('a'),
    sites: [],
  },
  {
    name: 'nor is a weak one',
    source: ` .weak __SCT__a\n${f('call __SCT__a; call __SCT__b; jmp __SCT__a')}${keys('a', 'b')}`,
    sites: ['.text+5 __SCK__b'],
  },
  {
    name: 'hidden, protected and internal ones are',
    source: ` .hidden __SCT__a\n .protected __SCT__b\n .internal __SCT__c\n${f('call __SCT__a; call __SCT__b; call __SCT__c; ret')}${keys('a', 'b', 'c')}`,
    sites: ['.text+0 __SCK__a', '.text+5 __SCK__b', '.text+10 __SCK__c'],
  },
  {
    name: 'one at a fixed address is none',
    source: ` .globl __SCT__a\n .set __SCT__a,0x1000\n${f('call __SCT__a; ret')}${keys('a')}`,
    sites: [],
  },
  {
    name: 'one without a type',
    source:
      f('call __SCT__a; jmp __SCT__a') +
      trampoline('a', undefined, undefined, '@notype') +
      keys('a'),
    sites: ['.text+5 __SCK__a tail', '.text+0 __SCK__a'],
  },
  {
    name: 'a trampoline that jumps to another',
    source:
      trampoline('a', 'jmp.d32 __SCT__b') +
      trampoline('b', 'jmp.d32 f') +
      ` .text\n${f('call __SCT__a; ret')}${keys('a', 'b')}`,
    sites: ['.static_call.text+0 __SCK__b tail', '.text+0 __SCK__a'],
  },
  {
    name: 'a trampoline that jumps to itself',
    source: trampoline('a', 'jmp.d32 __SCT__a') + keys('a'),
    sites: [],
  },
  {
    name: 'a relocation that names the section and not the symbol',
    source:
      f(
        '.byte 0xe8\n .reloc ., R_X86_64_PC32, .static_call.text+4\n .long 0\n .byte 0xe9\n .reloc ., R_X86_64_PC32, .static_call.text+4\n .long 0',
      ) +
      ' .section .static_call.text,"ax"\n .quad 0x9090909090909090\n' +
      trampoline('a') +
      keys('a'),
    sites: ['.text+5 __SCK__a tail', '.text+0 __SCK__a'],
  },
  {
    name: 'the same to a symbol without a type: a call, and no tail call',
    source:
      f(
        '.byte 0xe8\n .reloc ., R_X86_64_PC32, .static_call.text-4\n .long 0\n .byte 0xe9\n .reloc ., R_X86_64_PC32, .static_call.text-4\n .long 0',
      ) +
      trampoline('a', undefined, undefined, '@notype') +
      keys('a'),
    sites: ['.text+0 __SCK__a'],
  },
  {
    name: 'the same from outside of any function',
    source: ` .byte 0xe9\n .reloc ., R_X86_64_PC32, .static_call.text-4\n .long 0\n${trampoline('a')}${keys('a')}`,
    sites: [],
  },
  {
    name: 'the trampoline behind another name',
    source:
      f('.byte 0xe8\n .reloc ., R_X86_64_PC32, .static_call.text-4\n .long 0\n ret') +
      ' .section .static_call.text,"ax"\n .globl other; .type other,@function\nother:\n' +
      trampoline('a') +
      ' .size other,8\n' +
      keys('a'),
    sites: ['.text+0 __SCK__a'],
    objtool: 'does not see the trampoline behind another name',
  },
  {
    name: 'a branch that the assembler resolved',
    source:
      f('.byte 0xe8\n .long 1f-.-4\n .byte 0xe9\n .long 1f-.-4') +
      ' .globl __SCT__a; .type __SCT__a,@function\n1:\n__SCT__a: ret; int3; int3; int3; int3\n .byte 0x0f,0xb9,0xcc\n .size __SCT__a,8\n' +
      keys('a'),
    sites: ['.text+5 __SCK__a tail', '.text+0 __SCK__a'],
  },

  // instructions
  {
    name: 'prefixes belong to the site',
    source:
      f(
        'bnd call __SCT__a\n .byte 0x2e\n call __SCT__a\n .byte 0x66\n call __SCT__a\n .byte 0x67\n call __SCT__a\n .byte 0x48\n call __SCT__a\n .byte 0x3e\n je __SCT__a\n bnd jmp __SCT__a',
      ) + keys('a'),
    sites: [
      '.text+30 __SCK__a tail',
      '.text+37 __SCK__a tail',
      ...[0, 6, 12, 18, 24].map((at) => `.text+${at} __SCK__a`),
    ],
  },
  {
    name: 'prefixes that fault when run',
    source: f('.byte 0xf3\n call __SCT__a\n .byte 0xf0\n call __SCT__a; ret') + keys('a'),
    sites: ['.text+0 __SCK__a', '.text+6 __SCK__a'],
  },
  {
    name: 'an addend does not matter',
    source: f('call __SCT__a+4; call __SCT__a; jmp __SCT__a+8') + keys('a'),
    sites: ['.text+10 __SCK__a tail', '.text+0 __SCK__a', '.text+5 __SCK__a'],
  },
  {
    name: 'addresses taken and calls through pointers are none',
    source:
      f(
        'mov $__SCT__a,%rdi; lea __SCT__a(%rip),%rsi; call *__SCT__a(%rip); call *%rsi; call __SCT__b; ret',
      ) + ` .data\n .quad __SCT__a\n${keys('a', 'b')}`,
    sites: ['.text+22 __SCK__b'],
  },
  {
    name: 'bytes of another instruction that look like a call',
    source:
      f(
        '.byte 0xc7,0x45,0xe8\n .reloc ., R_X86_64_PC32, __SCT__a-4\n .long 0\n call __SCT__a; ret',
      ) + keys('a'),
    sites: ['.text+7 __SCK__a'],
  },
  {
    name: 'a jump of two bytes has no room for a target',
    source:
      f('.byte 0xeb\n .reloc ., R_X86_64_PC8, __SCT__a-1\n .byte 0\n call __SCT__a; ret') +
      keys('a'),
    sites: ['.text+2 __SCK__a'],
    objtool: 'lists a jump of two bytes',
  },
  {
    name: 'calls through the GOT',
    source: f('call *__SCT__a@GOTPCREL(%rip); jmp *__SCT__a@GOTPCREL(%rip)') + keys('a'),
    sites: ['.text+6 __SCK__a tail', '.text+0 __SCK__a'],
    objtool: 'knows no GOT',
  },
  {
    name: 'calls through the GOT, in a module',
    source: f('call *__SCT__a@GOTPCREL(%rip); call __SCT__a; ret') + keys('a'),
    module: true,
    sites: ['.text+6 __SCK__a'],
  },

  // sections
  { name: 'no static calls', source: f('call bar; ret'), sites: [] },
  { name: 'no code at all', source: ' .data\n .quad 1', sites: [] },
  {
    name: 'an alternative is a template, the code that it replaces is not',
    source: `${f('call __SCT__a; ret')} .section .altinstr_replacement,"ax"\n call __SCT__b\n .section .altinstructions,"a"\n .long f-., .altinstr_replacement-.\n .word 1\n .byte 5,5\n${keys('a', 'b')}`,
    sites: ['.text+0 __SCK__a'],
  },
  {
    name: 'only an alternative',
    source: `${f('nop; nop; nop; nop; nop; ret')} .section .altinstr_replacement,"ax"\n call __SCT__b\n .section .altinstructions,"a"\n .long f-., .altinstr_replacement-.\n .word 112\n .byte 5,5\n${keys('b')}`,
    sites: [],
  },
  {
    name: 'the side code of alternatives',
    source: ` .section .altinstr_aux,"ax"\n call __SCT__a\n .text\n${f('call __SCT__a; ret')}${keys('a')}`,
    sites: ['.text+0 __SCK__a', '.altinstr_aux+0 __SCK__a'],
  },
  {
    name: 'code to be discarded',
    source: ` .section .discard.text,"ax"\n${f('call __SCT__a; ret', 'd')} .text\n${f('call __SCT__a; ret')}${keys('a')}`,
    sites: ['.text+0 __SCK__a', '.discard.text+0 __SCK__a'],
  },
  {
    name: 'code that may not be instrumented',
    source: ` .section .noinstr.text,"ax"\n${f('call __SCT__a; ret')}${keys('a')}`,
    sites: ['.noinstr.text+0 __SCK__a'],
  },
  {
    name: 'bytes that cannot run',
    source: ` .section .stuff,"a"\n${f('call __SCT__a; ret')} .text\n call __SCT__a\n${keys('a')}`,
    sites: ['.text+0 __SCK__a'],
  },
  {
    name: 'code that is not loaded',
    source: ` .section .stuff,"x",@progbits\n${f('call __SCT__a; ret')}${keys('a')}`,
    sites: ['.stuff+0 __SCK__a'],
  },
];
