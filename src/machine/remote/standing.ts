// Where a key of another process goes, by its text: as its file has it, and as it stands. What a
// tool did by protocol `stop` is recorded nowhere else.

import { place } from '../../asm/assembler.js';
import { hex, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import type { KeyDef } from '../../keys/key.js';
import { RETURN0, VENEER, VENEER_SIZE } from '../../native/veneer.js';
import type { Target as Goal } from '../../plan/target.js';
import { recogniseTrampoline, TRAMPOLINE_LENGTH } from '../../x86/forms.js';
import type { RemoteObject } from './objects.js';
import { targetGone, type Target } from './target.js';

/** @throws Fault `unknown-target`, `target-gone` */
export function declaredIn(target: Target, home: RemoteObject, def: KeyDef, name: string): Goal {
  const declared = def.targets.find((t) => t.name === name);
  const word = declared ? target.word(home.bias + declared.slot) : 0n;
  if (word === null && !target.alive) throw targetGone(target.pid);
  const address = Number(word ?? 0n);
  if (address === 0)
    throw new Fault('unknown-target', `no loaded object defines ${name}`, { at: home.path });
  return { kind: 'function', address };
}

/**
 * What the trampoline does as linked.
 * @param trampoline its bytes as the file has them, or the process before anything changed them
 */
export function initialOf(
  target: Target,
  home: RemoteObject,
  def: KeyDef,
  trampoline: { readonly at: Addr; readonly bytes: Uint8Array } | null,
): Goal {
  const kind = def.initial?.kind ?? 'function';
  if (kind !== 'function') return { kind, address: 0 };
  const name = def.initial?.kind === 'function' ? def.initial.name : null;
  if (name !== null && def.targets.some((t) => t.name === name))
    return declaredIn(target, home, def, name);
  const address =
    trampoline === null
      ? null
      : (recogniseTrampoline(trampoline.bytes, trampoline.at)?.target ?? null);
  return address === null ? { kind: 'null', address: 0 } : { kind: 'function', address };
}

/**
 * Where the trampoline leads now.
 * @throws Fault `drift` where it holds what nothing of ours writes
 */
export function standingAt(
  target: Target,
  home: RemoteObject,
  def: KeyDef,
  trampoline: Addr,
): Goal {
  const found = recogniseTrampoline(target.read(trampoline, TRAMPOLINE_LENGTH), trampoline);
  if (found === null)
    throw new Fault('drift', `other bytes than ours in the trampoline of ${def.name}`, {
      at: hex(trampoline),
    });
  if (found.target === null) return { kind: 'null', address: 0 };
  const address = behindVeneer(target, found.target);
  const declared = def.targets.some(
    ({ slot }) => Number(target.word(home.bias + slot) ?? 0n) === address,
  );
  if (!declared && def.mayReturn0 && holds(target, address, RETURN0.bytes))
    return { kind: 'ret0', address: 0 };
  return { kind: 'function', address };
}

/** Where a jump of ours that lies between goes on to. */
function behindVeneer(target: Target, at: Addr): Addr {
  const { offset = 0 } = VENEER.words[0] ?? {};
  const address = Number(target.word(at + offset) ?? 0n);
  return at % VENEER_SIZE === 0 && holds(target, at, place(VENEER, { target: address }))
    ? address
    : at;
}

const holds = (target: Target, at: Addr, code: Uint8Array): boolean =>
  Buffer.compare(target.readOrNone(at, code.length), code) === 0;
