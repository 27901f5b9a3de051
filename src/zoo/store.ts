// One store and no trap, the policy of the third series: a site whose changed bytes lie inside one
// unit is patched by one store, any other keeps calling its trampoline. The series had the line for
// that unit (`in-line`); plan/protocols/store.ts says why what ships takes the quadword.

import { store as protocol, storeInLine } from '../plan/protocols/store.js';
import { IN_LINE, IN_QWORD, OVER_LINE, inKernel, inUser, mail, type Idea } from './proposal.js';

export const store: Idea = {
  proposed: [mail('Josh Poimboeuf', '2019-01-09', 'cover.1547073843.git.jpoimboe@redhat.com')],
  objections: [
    'Sites over the end of the unit stay out of line.',
    'No Intel manual says that one store is fetched whole by another CPU that is running ' +
      'the code, even inside a line.',
    'It cannot exchange a call and a nop unless the whole instruction lies inside the unit.',
  ],
  rows: [
    inKernel('store', '', protocol, { offset: IN_QWORD }),
    inKernel('store', 'in-line', storeInLine, { offset: IN_LINE }),
    inKernel('store', 'refused', protocol, { via: 'trampoline' }),
    inKernel('store', 'forced', protocol, { full: true, offset: OVER_LINE }),
    inUser('store', '', protocol, { offset: IN_QWORD }),
    inUser('store', 'in-line', storeInLine, { offset: IN_LINE }),
    inUser('store', 'refused', protocol, { via: 'trampoline' }),
  ],
};
