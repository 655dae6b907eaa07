/** What can be seen of a process besides results: mappings, pagemap, data. The lines of executor/, from the model. */
import { at } from '../../base/assert.ts';
import { vmFlagLetters } from '../../kernel/fs/proc/maps.ts';
import {
  PM_PFRAME_MASK,
  PM_PRESENT,
  PM_SOFT_DIRTY,
  PM_SWAP,
  pagemapWords,
} from '../../kernel/fs/proc/pagemap.ts';
import type { Mm } from '../../kernel/mm/mm-types.ts';
import { has, VM_ACCESS_FLAGS, VM_SOFTDIRTY, withoutFlag } from '../../kernel/mm/vm-flags.ts';
import { machine } from '../../machine/current.ts';
import { ZERO_PFN } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Pfn } from '../../machine/pte.ts';
import type { Steps } from '../../sched/op.ts';
import { ARENA, ARENA_PAGES } from './operations.ts';

const ARENA_END: number = ARENA + ARENA_PAGES * PAGE_SIZE;
/** Mappings grow out of the arena at either end. */
const AROUND: number = ARENA - ARENA_PAGES * PAGE_SIZE;
const AROUND_END: number = ARENA_END + ARENA_PAGES * PAGE_SIZE;
const MARKER_TYPE = 0x1fn;

/** "V" with the mappings of the arena and their VmFlags, "P" with its pagemap in runs. */
export function* stateLines(mm: Mm): Steps<string[]> {
  const all = [...(yield* pagemapWords(mm, AROUND, AROUND_END, true))];
  const words = all.slice(ARENA_PAGES, 2 * ARENA_PAGES);
  const resident = (start: number, end: number): number =>
    all.slice(start + ARENA_PAGES, end + ARENA_PAGES).filter(isResident).length;
  let mappings = 'V';
  for (const vma of mm.vmas.range(AROUND, AROUND_END)) {
    const [start, end] = [(vma.start - ARENA) / PAGE_SIZE, (vma.end - ARENA) / PAGE_SIZE];
    // Not in kernels built without MEM_SOFT_DIRTY.
    mappings += ` ${start}-${end} rss ${resident(start, end)} ${vmFlagLetters(withoutFlag(vma.flags, VM_SOFTDIRTY))};`;
  }
  const shown = words.map(masked);
  let runs = 'P';
  for (let i = 0, run = 1; i < shown.length; i += run, run = 1) {
    const word = at(shown, i);
    while (shown[i + run] === word) run++;
    runs += ` ${run}*${word.toString(16)}`;
  }
  return [mappings, runs];
}

/** Whether smaps counts the page as Rss: the zero page is nobody's. */
function isResident(word: bigint): boolean {
  return (word & PM_PRESENT) !== 0n && Number(word & PM_PFRAME_MASK) !== ZERO_PFN;
}

/** Without frame numbers and swap offsets; markers keep what they are. */
function masked(word: bigint): bigint {
  const shown = word & ~PM_SOFT_DIRTY;
  const swap = (shown & (PM_SWAP | PM_PRESENT)) === PM_SWAP;
  return swap && (shown & MARKER_TYPE) === MARKER_TYPE ? shown : shown & ~PM_PFRAME_MASK;
}

/** "F" with a hash of every page that is there and may be read. */
export function* dataLine(mm: Mm): Steps<string> {
  let line = 'F';
  const words = yield* pagemapWords(mm, ARENA, ARENA_END, true);
  for (const [page, word] of words.entries()) {
    const vma = mm.vmas.find(ARENA + page * PAGE_SIZE);
    if ((word & PM_PRESENT) === 0n || vma === null || !has(vma.flags, VM_ACCESS_FLAGS)) continue;
    const frame = Number(word & PM_PFRAME_MASK) as Pfn;
    const bytes = machine.frames.read(frame, 0, PAGE_SIZE);
    const view = new DataView(bytes.buffer, bytes.byteOffset, PAGE_SIZE);
    let hash = 0;
    for (let i = 0; i < PAGE_SIZE; i += 4) {
      hash = (Math.imul(hash, 31) + view.getUint32(i, true)) | 0;
    }
    line += ` ${page}:${(hash >>> 0).toString(16)}`;
  }
  return line;
}
