// What can be seen of another process's static calls without stopping anything of it: its files,
// its records where a runtime is in it, and the bytes at its sites.

import { INT3 } from '../asm/table.js';
import type { Addr } from '../base/addr.js';
import { accepted, type KeyDef } from '../keys/key.js';
import { openNative } from '../machine/linux/native.js';
import { recordAt, KeyRecord } from '../machine/process/records.js';
import { objectsOf, type RemoteObject } from '../machine/remote/objects.js';
import { findRuntime } from '../machine/remote/runtime.js';
import { standingAt } from '../machine/remote/standing.js';
import { scratchesIn } from '../machine/remote/scratch.js';
import { Snapshot } from '../machine/remote/snapshot.js';
import { checkTables, Target } from '../machine/remote/target.js';
import { targetOf, type Target as Goal } from '../plan/target.js';
import { DATA } from '../trap/registry.js';
import { PAGE } from '../base/addr.js';
import { nameIn } from './attach.js';

export interface KeyLook {
  readonly name: string;
  readonly target: string | null;
  readonly targets: readonly (string | null | boolean)[];
  readonly sites: number;
  /** Sites that go to the target themselves, and sites that stand on their trap. */
  readonly inline: number;
  readonly parked: number;
  /** Calls that the trap handler emulated so far. */
  readonly traps: number;
}

export interface ProcessLook {
  readonly pid: number;
  readonly exe: string;
  readonly objects: readonly { readonly path: string; readonly buildId: string | null }[];
  /** Whether a handler of ours is in it: from an attach, from Node, or from its own runtime. */
  readonly runtime: boolean;
  /** How many tools are attached, this one not counted, or were when they were killed. */
  readonly tools: number;
  readonly keys: readonly KeyLook[];
}

/**
 * @throws Fault `no-such-process`, `not-yours`, `ptrace-scope`, `no-sites`, `other-runtime`,
 *   `target-gone`
 */
export function look(
  pid: number,
  options: { readonly object?: string | undefined } = {},
): ProcessLook {
  using watched = new Watched(pid, options);
  return watched.look();
}

/** A process that is looked at again and again; what does not change is read once. */
export class Watched implements Disposable {
  readonly #target: Target;
  readonly #objects: readonly RemoteObject[];

  constructor(pid: number, options: { readonly object?: string | undefined }) {
    this.#target = new Target(pid);
    this.#objects = objectsOf(this.#target, options);
  }

  look(): ProcessLook {
    const target = this.#target;
    const maps = target.maps();
    const code = findRuntime(target, maps);
    const records = code === null ? null : recordsOf(target, code + PAGE);
    return {
      pid: target.pid,
      exe: target.exe,
      objects: this.#objects.map(({ path, buildId }) => ({ path, buildId })),
      runtime: records !== null,
      tools: scratchesIn(target, maps).length,
      keys: this.#objects.flatMap((object) =>
        object.keys.map((def) => keyLook(target, object, def, records)),
      ),
    };
  }

  [Symbol.dispose](): void {
    this.#target.close();
  }
}

/** Finds the record of the site at an address. */
type Records = (site: Addr) => KeyRecord | null;

function recordsOf(target: Target, data: Addr): Records {
  const words = new BigUint64Array(target.read(data, DATA.size).buffer);
  const copies = new Snapshot(target);
  checkTables(target, Number(words[DATA.tables / 8]));
  const shared = {
    native: { ...openNative(), view: (at: Addr, length: number) => copies.view(at, length) },
    word: (name: keyof typeof DATA) => words[DATA[name] / 8] ?? 0n,
    setWord: () => {},
    allocate: () => 0,
  };
  return (site) => {
    const at = recordAt(shared, site);
    return at === null ? null : new KeyRecord(shared, at);
  };
}

function keyLook(
  target: Target,
  home: RemoteObject,
  def: KeyDef,
  records: Records | null,
): KeyLook {
  const [first] = def.sites;
  const known = def.trampoline ?? first?.at ?? null;
  const record = known === null ? null : (records?.(home.bias + known) ?? null);
  const call = Number(record?.word('call') ?? 0n);
  const goal = call === 0 ? asItStands(target, home, def) : targetOf(call);
  let [inline, parked] = [0, 0];
  for (const { at, length } of def.sites) {
    const offset = home.object.fileOffset(at);
    const now = target.read(home.bias + at, length);
    if (now[0] === INT3) parked++;
    else if (now.some((byte, i) => byte !== home.object.bytes[offset + i])) inline++;
  }
  return {
    name: def.name,
    target: goal === null ? null : nameIn(target, home, def, goal),
    targets: accepted(def),
    sites: def.sites.length,
    inline,
    parked,
    traps: record?.traps ?? 0,
  };
}

/** Where no runtime knows the key: what its trampoline does, or what C asks by static_call_query. */
function asItStands(target: Target, home: RemoteObject, def: KeyDef): Goal | null {
  if (def.trampoline !== null) return standingAt(target, home, def, home.bias + def.trampoline);
  if (def.initial !== null && def.initial.kind !== 'function')
    return { kind: def.initial.kind, address: 0 };
  if (def.address === null) return null;
  const address = Number(target.word(home.bias + def.address) ?? 0n);
  return address === 0 ? { kind: 'null', address } : { kind: 'function', address };
}
