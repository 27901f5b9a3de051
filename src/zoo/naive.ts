// The mistake that every other row avoids: byte after byte into text that runs.

import { naive as protocol } from '../plan/protocols/naive.js';
import { inKernel, inUser, type Idea } from './proposal.js';

export const naive: Idea = {
  proposed: [],
  objections: ['A CPU that fetches between two of the stores runs a mixture of two instructions.'],
  rows: [inKernel('naive', '', protocol), inUser('naive', '', protocol)],
};
