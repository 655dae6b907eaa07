/**
 * I-WAKE, on a stuck state: a thread that sleeps in a fault although its page no longer asks for waiting. Its waker
 * resolved the page and did not wake it.
 */

import type { Mm } from '../kernel/mm/mm-types.ts';
import { pteNone, ptePresent, pteUffdWpAny, pteWrite } from '../machine/pte.ts';
import { UFFD_PAGEFAULT_FLAG_WP, UFFD_PAGEFAULT_FLAG_WRITE } from '../uapi/userfaultfd.ts';
import { ptePeek } from './page-state.ts';
import { PAGE } from './scope.ts';
import type { RunState } from './state.ts';

export function lostWake(run: RunState): boolean {
  for (const mm of run.world.mms) {
    for (const vma of mm.vmas) {
      const ctx = vma.uffd;
      if (ctx === null) continue;
      for (const wait of [...ctx.pendingFaults, ...ctx.faults]) {
        if (wait.msg.event !== 'pagefault' || wait.sleeper.woken) continue;
        if (!mustWait(mm, wait.msg.address, wait.msg.flags)) return true;
      }
    }
  }
  return false;
}

function mustWait(mm: Mm, address: number, flags: number): boolean {
  const pte = ptePeek(mm, address - (address % PAGE));
  if (pte === null || pteNone(pte) || !ptePresent(pte)) return true;
  const write = (flags & UFFD_PAGEFAULT_FLAG_WRITE) !== 0;
  if ((flags & UFFD_PAGEFAULT_FLAG_WP) !== 0) return write && !pteWrite(pte) && pteUffdWpAny(pte);
  return false;
}
