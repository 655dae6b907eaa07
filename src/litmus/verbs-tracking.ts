/** Verbs that ask which pages were used: `p = pagemap A[0]`, `clear_refs 4`. */
import { clearRefs } from '../kernel/fs/proc/clear-refs.ts';
import { sharedSwapSlot } from '../kernel/fs/proc/pagemap.ts';
import type { Mm } from '../kernel/mm/mm-types.ts';
import { lookupPte } from '../kernel/mm/pgtable.ts';
import { softDirtyBit } from '../kernel/mm/soft-dirty.ts';
import { has, VM_SOFTDIRTY } from '../kernel/mm/vm-flags.ts';
import { type Pte, pteNone } from '../machine/pte.ts';
import { pause } from '../sched/access.ts';
import { READ } from '../sched/cell.ts';
import { sched } from '../sched/current.ts';
import type { Call } from './calls.ts';
import { LitmusError } from './error.ts';
import { pageFlags, unseen } from './page-state.ts';
import { atMost, ownRange, type Verb, type VerbContext, want } from './verb.ts';

const PAGEMAP_USAGE = 'p = pagemap A[0]';
const CLEAR_REFS_USAGE = 'clear_refs 4';

export const TRACKING_VERBS: Readonly<Record<string, Verb>> = {
  pagemap: { usage: PAGEMAP_USAGE, compile: compilePagemap },
  clear_refs: { usage: CLEAR_REFS_USAGE, compile: compileClearRefs },
};

function compilePagemap(c: VerbContext): Call {
  const { start } = ownRange(c, want(c, 0, 'a page', PAGEMAP_USAGE));
  atMost(c, 1, PAGEMAP_USAGE);
  return function* (run, task) {
    yield* pause('pagemap');
    const { mm } = task;
    if (mm === null) return 'none';
    const address = start(run);
    const pte = lookupPte(mm, address);
    let fresh = false;
    if (softDirtyBit() !== 0) {
      sched.touch(mm.treeCell, READ);
      const vma = mm.vmas.find(address);
      vma?.peek();
      fresh = vma !== null && has(vma.flags, VM_SOFTDIRTY);
    }
    const flags = swappedAway(mm, address, pte) ? 'swap' : pageFlags(pte, fresh);
    for (const p of run.promises) p.reported?.(task, address, flags);
    return flags;
  };
}

/** Whether pagemap shows a swap location where there is no entry: a proposal has it so. */
function swappedAway(mm: Mm, address: number, pte: Pte | null): boolean {
  if (pte !== null && !pteNone(pte)) return false;
  const vma = unseen(() => mm.vmas.find(address));
  return vma !== null && sharedSwapSlot(vma, address) !== 0;
}

/** A number written to /proc/self/clear_refs. */
function compileClearRefs(c: VerbContext): Call {
  const type = want(c, 0, 'a number from 1 to 5', CLEAR_REFS_USAGE);
  atMost(c, 1, CLEAR_REFS_USAGE);
  if (type.kind !== 'number' || type.value < 1 || type.value > 5) {
    throw new LitmusError('clear_refs wants a number from 1 to 5', type.pos, CLEAR_REFS_USAGE);
  }
  const { value } = type;
  return function* (run, task) {
    if (task.mm === null) return 0;
    const watchers = value === 4 ? run.promises : [];
    for (const p of watchers) p.clearing?.(1);
    yield* clearRefs(task.mm, value);
    for (const p of watchers) p.clearing?.(-1);
    return 0;
  };
}
