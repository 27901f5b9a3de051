// A mask of the CPUs that have yet to acknowledge. Each clears its own bit, by the IPI or in the
// handler of the trap, which ends in an IRET and so serialises before the CPU comes to the site
// again. So the handler may wait with interrupts off until the trap is gone, and emulates nothing.

import { INT3 } from '../../asm/table.js';
import { said, system } from '../system.js';
import { anew, synchronised, trapped } from './trapped.js';

const waiting = trapped('acknowledge-mask', 'a trap acknowledges as an IPI does, and waits', {
  call: ['look:', `cmp byte [rdi-5], ${INT3}`, 'je look', ...anew],
});
const protocol = synchronised(waiting, 'acknowledge');

export const acknowledgeMask = system({
  name: 'acknowledge-mask',
  title: 'A mask of the CPUs that have yet to acknowledge (H. Peter Anvin)',
  status: 'proposed',
  environment: 'kernel',
  read: [
    said(
      'https://www.mail-archive.com/linux-kernel@vger.kernel.org/msg1899516.html',
      'Peter Anvin, 13 January 2019: both the IPI and the trap clear the bit of their CPU',
    ),
  ],
  protocol,
  broken: { says: 'the IPI alone clears it', protocol: waiting },
  leaves:
    'NMIs. One that comes in the handler runs the site before the IRET that serialises, so `check ' +
    'acknowledge-mask --context task,nmi` is torn. One on the CPU of the patcher that meets the trap ' +
    'waits for ever: with `--patcher task` it is a deadlock, which Andy Lutomirski objected.',
});
