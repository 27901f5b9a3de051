import fc from 'fast-check';
import * as iced from 'iced-x86';
import { expect, test } from 'vitest';
import { decode, LinearDecoder } from '#x86/decode';
import { requireIced } from '#x86/iced';
import { FLOW } from '#x86/wasm';

test('branches give their destination, RIP-relative operands their slot', () => {
  expect(decode(Uint8Array.of(0xe8, 1, 0, 0, 0), 0x1000)).toEqual({
    at: 0x1000,
    length: 5,
    flow: 'call',
    target: 0x1006,
    slot: null,
  });
  expect(decode(Uint8Array.of(0x67, 0xe8, 1, 0, 0, 0), 0x1000)).toMatchObject({
    length: 6,
    flow: 'call',
    target: 0x1007,
  });
  expect(decode(Uint8Array.of(0xff, 0x15, 1, 0, 0, 0), 0x1000)).toMatchObject({
    length: 6,
    flow: 'call-indirect',
    target: null,
    slot: 0x1007,
  });
  expect(decode(Uint8Array.of(0x0f, 0x84, 0xfa, 0xff, 0xff, 0xff), -0x7f00_0000)).toMatchObject({
    flow: 'jcc',
    target: -0x7f00_0000,
  });
  expect(decode(Uint8Array.of(0xcc))).toMatchObject({ flow: 'other' });
  expect(decode(new Uint8Array(0))).toMatchObject({ flow: 'invalid', length: 1 });
});

test('a decoder finds the instruction that covers a byte, and gets past bytes that are none', () => {
  // mov $0xe8,%eax; (bad); call; the e8 at offset 1 begins nothing.
  using decoder = new LinearDecoder(Uint8Array.of(0xb8, 0xe8, 0, 0, 0, 0x06, 0xe8, 0, 0, 0, 0));
  expect(decoder.covering(0, 1)).toBe(0);
  expect(decoder.covering(0, 5)).toBe(5);
  expect(decoder.covering(0, 10)).toBe(6);
  expect(decoder.at(6)).toMatchObject({ flow: 'call', length: 5 });
});

test("the module's functions are called as the package calls them", () => {
  const { FlowControl, OpKind, DecoderOptions } = iced;
  expect(FLOW).toEqual({
    next: FlowControl.Next,
    jmp: FlowControl.UnconditionalBranch,
    jmpIndirect: FlowControl.IndirectBranch,
    jcc: FlowControl.ConditionalBranch,
    ret: FlowControl.Return,
    call: FlowControl.Call,
    callIndirect: FlowControl.IndirectCall,
  });
  const { decoder: decoderOf, instruction: ours } = requireIced();
  const theirs = new iced.Instruction();
  const piece = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 24 }),
    fc.constantFrom([0xe8, 1, 0, 0, 0], [0xff, 0x15, 1, 0, 0, 0], [0x2e, 0x0f, 0x84, 1, 0, 0, 0]),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 4 }), fc.bigInt(0n, 2n ** 64n - 1n), (parts, ip) => {
      const bytes = Uint8Array.from(parts.flatMap((part) => [...part]));
      const mine = decoderOf(bytes);
      const other = new iced.Decoder(64, bytes, DecoderOptions.NoInvalidCheck);
      for (let at = 0; at < bytes.length; at++) {
        mine.seek(at);
        mine.setAddress(ip);
        mine.decode();
        other.position = at;
        other.ip = ip;
        other.decodeOut(theirs);
        expect([ours.isInvalid(), ours.length(), ours.flow(), ours.target(), ours.slot()]).toEqual([
          theirs.isInvalid,
          theirs.length,
          theirs.flowControl,
          theirs.op0Kind === OpKind.NearBranch64 ? theirs.nearBranchTarget : null,
          theirs.isIpRelMemoryOperand ? theirs.ipRelMemoryAddress : null,
        ]);
      }
      mine.free();
      other.free();
    }),
  );
});
