// The x86-64 instructions that handlers, test programs and the simulator are made of: one row each,
// in the notation of the Intel manual. Encoder, decoder, printer, the assembler's types, the
// simulator's semantics and the comparison with the real CPU are all derived from these rows; there
// is no second description of an encoding. It is no general disassembler: what has no row is
// unknown, never guessed.
//
// Columns: name, operands, encoding, where it runs, manual.
//
//   name      {family} stands for each member of FAMILIES.
//   operands  rN register in ModRM.reg (or in the opcode), rmN register or memory, RN register in
//             ModRM.rm, mN memory of N bits, m an address without access; immN of the operand's own
//             size, simmN sign-extended to it; izN four bytes for an operand of N bits (imm32 in
//             the manual); relN. A `v` is 32 and 64 in turn, both in the operands and in the encoding.
//   encoding  LOCK: the prefix is allowed where the first operand is memory. W: REX.W. v: REX.W
//             when v is 64. 66 f2 f3 before the opcode are part of it. +r: register in the opcode.
//             +{family}, +8{family}: the member's number, or eight times it, is added. /r: ModRM.
//             /0../7, /{family}: ModRM with that digit.
//   runs      user: any privilege, and its whole effect is on registers, flags and memory, so the
//             real CPU can be asked. event: leaves the program's own instruction stream or changes
//             what only the system sees. system: privileged. cet: needs a shadow stack.
//   manual    where the Intel SDM says it (volume 2 by name, other volumes by section).

/** The trap byte: int3, the one instruction of one byte that every CPU stops at. */
export const INT3 = 0xcc;

export const FAMILIES = {
  alu: { add: 0, or: 1, adc: 2, sbb: 3, and: 4, sub: 5, xor: 6 },
  shift: { shl: 4, shr: 5, sar: 7 },
  unary: { not: 2, neg: 3 },
  step: { inc: 0, dec: 1 },
  bits: { bts: 5, btr: 6 },
  cc: {
    o: 0,
    no: 1,
    b: 2,
    ae: 3,
    e: 4,
    ne: 5,
    be: 6,
    a: 7,
    s: 8,
    ns: 9,
    p: 10,
    np: 11,
    l: 12,
    ge: 13,
    le: 14,
    g: 15,
  },
} as const satisfies Record<string, Record<string, number>>;

export type Runs = 'user' | 'event' | 'system' | 'cet';
export type Row = readonly [
  name: string,
  operands: string,
  encoding: string,
  runs: Runs,
  manual: string,
];

export const ROWS = [
  // moves
  ['mov', 'rm8, r8', '88 /r', 'user', 'MOV'],
  ['mov', 'rm16, r16', '66 89 /r', 'user', 'MOV'],
  ['mov', 'rmv, rv', 'v 89 /r', 'user', 'MOV'],
  ['mov', 'r8, rm8', '8a /r', 'user', 'MOV'],
  ['mov', 'r16, rm16', '66 8b /r', 'user', 'MOV'],
  ['mov', 'rv, rmv', 'v 8b /r', 'user', 'MOV'],
  ['mov', 'r8, imm8', 'b0+r', 'user', 'MOV'],
  ['mov', 'r32, iz32', 'b8+r', 'user', 'MOV'],
  ['mov', 'rm8, imm8', 'c6 /0', 'user', 'MOV'],
  ['mov', 'rmv, izv', 'v c7 /0', 'user', 'MOV'],
  ['movabs', 'r64, imm64', 'W b8+r', 'user', 'MOV'],
  ['lea', 'rv, m', 'v 8d /r', 'user', 'LEA'],
  ['movzx', 'rv, rm8', 'v 0f b6 /r', 'user', 'MOVZX'],
  ['movzx', 'rv, rm16', 'v 0f b7 /r', 'user', 'MOVZX'],
  ['movsx', 'rv, rm8', 'v 0f be /r', 'user', 'MOVSX/MOVSXD'],
  ['movsx', 'rv, rm16', 'v 0f bf /r', 'user', 'MOVSX/MOVSXD'],
  ['movsxd', 'r64, rm32', 'W 63 /r', 'user', 'MOVSX/MOVSXD'],
  ['cmov{cc}', 'rv, rmv', 'v 0f 40+{cc} /r', 'user', 'CMOVcc'],
  ['set{cc}', 'rm8', '0f 90+{cc} /0', 'user', 'SETcc'],
  ['xchg', 'rm8, r8', 'LOCK 86 /r', 'user', 'XCHG'],
  ['xchg', 'rmv, rv', 'LOCK v 87 /r', 'user', 'XCHG'],
  ['cmpxchg', 'rm8, r8', 'LOCK 0f b0 /r', 'user', 'CMPXCHG'],
  ['cmpxchg', 'rmv, rv', 'LOCK v 0f b1 /r', 'user', 'CMPXCHG'],
  ['xadd', 'rm8, r8', 'LOCK 0f c0 /r', 'user', 'XADD'],
  ['xadd', 'rmv, rv', 'LOCK v 0f c1 /r', 'user', 'XADD'],

  // arithmetic and logic
  ['{alu}', 'rm8, r8', 'LOCK 00+8{alu} /r', 'user', 'ADD OR ADC SBB AND SUB XOR'],
  ['{alu}', 'rmv, rv', 'LOCK v 01+8{alu} /r', 'user', 'ADD OR ADC SBB AND SUB XOR'],
  ['{alu}', 'r8, rm8', '02+8{alu} /r', 'user', 'ADD OR ADC SBB AND SUB XOR'],
  ['{alu}', 'rv, rmv', 'v 03+8{alu} /r', 'user', 'ADD OR ADC SBB AND SUB XOR'],
  ['{alu}', 'rm8, imm8', 'LOCK 80 /{alu}', 'user', 'ADD OR ADC SBB AND SUB XOR'],
  ['{alu}', 'rmv, simm8', 'LOCK v 83 /{alu}', 'user', 'ADD OR ADC SBB AND SUB XOR'],
  ['{alu}', 'rmv, izv', 'LOCK v 81 /{alu}', 'user', 'ADD OR ADC SBB AND SUB XOR'],
  ['cmp', 'rm8, r8', '38 /r', 'user', 'CMP'],
  ['cmp', 'rmv, rv', 'v 39 /r', 'user', 'CMP'],
  ['cmp', 'r8, rm8', '3a /r', 'user', 'CMP'],
  ['cmp', 'rv, rmv', 'v 3b /r', 'user', 'CMP'],
  ['cmp', 'rm8, imm8', '80 /7', 'user', 'CMP'],
  ['cmp', 'rmv, simm8', 'v 83 /7', 'user', 'CMP'],
  ['cmp', 'rmv, izv', 'v 81 /7', 'user', 'CMP'],
  ['test', 'rm8, r8', '84 /r', 'user', 'TEST'],
  ['test', 'rmv, rv', 'v 85 /r', 'user', 'TEST'],
  ['test', 'rm8, imm8', 'f6 /0', 'user', 'TEST'],
  ['test', 'rmv, izv', 'v f7 /0', 'user', 'TEST'],
  ['test', 'eax, iz32', 'a9', 'user', 'TEST'],
  ['{unary}', 'rm8', 'LOCK f6 /{unary}', 'user', 'NOT NEG'],
  ['{unary}', 'rmv', 'LOCK v f7 /{unary}', 'user', 'NOT NEG'],
  ['{step}', 'rm8', 'LOCK fe /{step}', 'user', 'INC DEC'],
  ['{step}', 'rmv', 'LOCK v ff /{step}', 'user', 'INC DEC'],
  ['{shift}', 'rm8, one', 'd0 /{shift}', 'user', 'SAL/SAR/SHL/SHR'],
  ['{shift}', 'rmv, one', 'v d1 /{shift}', 'user', 'SAL/SAR/SHL/SHR'],
  ['{shift}', 'rm8, imm8', 'c0 /{shift}', 'user', 'SAL/SAR/SHL/SHR'],
  ['{shift}', 'rmv, imm8', 'v c1 /{shift}', 'user', 'SAL/SAR/SHL/SHR'],
  ['{shift}', 'rm8, cl', 'd2 /{shift}', 'user', 'SAL/SAR/SHL/SHR'],
  ['{shift}', 'rmv, cl', 'v d3 /{shift}', 'user', 'SAL/SAR/SHL/SHR'],
  ['bt', 'rmv, rv', 'v 0f a3 /r', 'user', 'BT'],
  ['bt', 'rmv, imm8', 'v 0f ba /4', 'user', 'BT'],
  ['{bits}', 'rmv, imm8', 'LOCK v 0f ba /{bits}', 'user', 'BTS BTR'],

  // stack and control
  ['push', 'r64', '50+r', 'user', 'PUSH'],
  ['push', 'rm64', 'ff /6', 'user', 'PUSH'],
  ['push', 'simm8', '6a', 'user', 'PUSH'],
  ['push', 'iz64', '68', 'user', 'PUSH'],
  ['pop', 'r64', '58+r', 'user', 'POP'],
  ['pop', 'rm64', '8f /0', 'user', 'POP'],
  ['pushfq', '', '9c', 'user', 'PUSHF/PUSHFD/PUSHFQ'],
  ['popfq', '', '9d', 'user', 'POPF/POPFD/POPFQ'],
  ['leave', '', 'c9', 'user', 'LEAVE'],
  ['lahf', '', '9f', 'user', 'LAHF'],
  ['sahf', '', '9e', 'user', 'SAHF'],
  ['call', 'rel32', 'e8', 'user', 'CALL'],
  ['call', 'rm64', 'ff /2', 'user', 'CALL'],
  ['jmp', 'rel8', 'eb', 'user', 'JMP'],
  ['jmp', 'rel32', 'e9', 'user', 'JMP'],
  ['jmp', 'rm64', 'ff /4', 'user', 'JMP'],
  ['j{cc}', 'rel8', '70+{cc}', 'user', 'Jcc'],
  ['j{cc}', 'rel32', '0f 80+{cc}', 'user', 'Jcc'],
  ['ret', '', 'c3', 'user', 'RET'],
  ['ret', 'imm16', 'c2', 'user', 'RET'],
  ['iretq', '', 'W cf', 'user', 'IRET/IRETD/IRETQ'],

  // nothing, and order
  ['nop', '', '90', 'user', 'NOP'],
  ['nop', 'rm32', '0f 1f /0', 'user', 'NOP'],
  ['endbr64', '', 'f3 0f 1e fa', 'user', 'ENDBR64'],
  ['pause', '', 'f3 90', 'user', 'PAUSE'],
  ['lfence', '', '0f ae e8', 'user', 'LFENCE'],
  ['mfence', '', '0f ae f0', 'user', 'MFENCE'],
  ['sfence', '', '0f ae f8', 'user', 'SFENCE'],
  ['serialize', '', '0f 01 e8', 'event', 'volume 3, 9.3: serialising; not on every CPU'],
  ['cpuid', '', '0f a2', 'event', "volume 3, 9.3: serialising; the answer is the machine's own"],

  // events
  ['int3', '', 'cc', 'event', 'volume 3, 6.15: interrupt 3, #BP'],
  ['ud1', 'rv, rmv', 'v 0f b9 /r', 'event', 'volume 3, 6.15: interrupt 6, #UD'],
  ['ud2', '', '0f 0b', 'event', 'volume 3, 6.15: interrupt 6, #UD'],
  ['syscall', '', '0f 05', 'event', 'SYSCALL: enters the system'],

  // privileged
  ['cli', '', 'fa', 'system', 'CLI: #GP when CPL > IOPL'],
  ['sti', '', 'fb', 'system', 'STI: #GP when CPL > IOPL'],
  ['hlt', '', 'f4', 'system', 'HLT: #GP when CPL is not 0'],
  ['sysretq', '', 'W 0f 07', 'system', 'SYSRET: #GP when CPL is not 0'],
  ['swapgs', '', '0f 01 f8', 'system', 'SWAPGS: #GP when CPL is not 0'],
  ['mov', 'R64, cr', '0f 20 /r', 'system', 'MOV to/from control registers: #GP when CPL is not 0'],
  ['mov', 'cr, R64', '0f 22 /r', 'system', 'MOV to/from control registers: #GP when CPL is not 0'],

  // shadow stack
  [
    'rdsspq',
    'R64',
    'f3 W 0f 1e /1',
    'cet',
    'RDSSPD/RDSSPQ: a NOP unless shadow stacks are on; volume 1, 17.2',
  ],
  [
    'incsspq',
    'R64',
    'f3 W 0f ae /5',
    'cet',
    'INCSSPD/INCSSPQ: #UD unless shadow stacks are on; volume 1, 17.2',
  ],
  [
    'wrssq',
    'm64, r64',
    'W 0f 38 f6 /r',
    'cet',
    'WRSSD/WRSSQ: #UD unless shadow stacks and WR_SHSTK_EN are on; volume 1, 17.2',
  ],
] as const satisfies readonly Row[];

// The same rows as types, so that a wrong operand does not compile.

type Families = typeof FAMILIES;
type Member<F extends keyof Families> = Families[F] extends infer M ? keyof M & string : never;
type Named<S extends string> = S extends `${infer A}{${infer F extends keyof Families}}${infer B}`
  ? `${A}${Member<F>}${B}`
  : S;
type Swap<S extends string, N extends string> = S extends `${infer A}v${infer B}`
  ? `${A}${N}${Swap<B, N>}`
  : S;
type Split<S extends string> = S extends ''
  ? []
  : S extends `${infer A}, ${infer B}`
    ? [A, ...Split<B>]
    : [S];
type Sized<S extends string> = S extends `${string}v${string}`
  ? Split<Swap<S, '32'>> | Split<Swap<S, '64'>>
  : Split<S>;

export type Mnemonic = Named<(typeof ROWS)[number][0]>;
/** `[name, kinds of operands]` of one row; distributes over a union of rows. */
export type Shape<R> = R extends readonly [
  infer N extends string,
  infer O extends string,
  string,
  Runs,
  string,
]
  ? { readonly name: Named<N>; readonly kinds: Sized<O> }
  : never;
/** The rows that take a LOCK prefix. */
export type Lockable<R> = R extends readonly [string, string, `LOCK ${string}`, Runs, string]
  ? R
  : never;
export type Rows = (typeof ROWS)[number];
/** A row's name as written, the key of its semantics. */
export type RowName = Rows[0];
