import { expect, test } from 'vitest';
import { decode, LinearDecoder } from '#x86/decode';

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
