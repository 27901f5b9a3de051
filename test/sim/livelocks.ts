// Two ways to go round for ever although the end stays in reach, each beside its nearest neighbour
// that does not.

import { loadProtocol } from '#check/ask/load';
import { findProposal, proposalOf, type Proposal } from '#zoo/index';
import { label, mem, word, type Item } from '#asm/assembler';
import { VERSION } from '#zoo/int3-retire';

const versioned = findProposal('int3-retire', 'versioned', 'user');
/**
 * A handler that tells others that it looks, by moving the version, and looks again where somebody
 * else has.
 */
const announcing = (each: 'time' | 'trap'): Proposal => {
  const announce: Item = ['lock', 'xor', mem('rcx', VERSION), 1];
  const again: Item = label('announce');
  const prelude: Item[] = [
    ['movabs', 'rcx', word('table')],
    ...(each === 'time' ? [again, announce] : [announce, again]),
    ['mov', 'r10', mem('rcx', VERSION)],
    ['cmp', mem('rcx', VERSION), 'r10'],
    ['jne', 'announce'],
  ];
  return {
    ...versioned,
    handler: (entry) => {
      const handler = versioned.handler!(entry);
      const at = handler.program.findIndex(
        (item) => JSON.stringify(item) === JSON.stringify(label('look')),
      );
      return { ...handler, program: handler.program.toSpliced(at, 0, ...prelude) };
    },
  };
};
/** Two CPUs move it in turn, and each makes the other look again. */
export const inTurn = announcing('time');
/** As often as there are traps, and no more. */
export const once = announcing('trap');

/** Spins at a jump to itself, which a CPU that nobody makes serialise may fetch for ever. */
export const jmpSelf = proposalOf(await loadProtocol('examples/protocols/jmp-self.mjs'), 'user');
