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
import { MemSizeStats } from '../../kernel/fs/proc/smaps.ts';
import type { Mm, Vma } from '../../kernel/mm/mm-types.ts';
import { has, VM_ACCESS_FLAGS, VM_SOFTDIRTY, withoutFlag } from '../../kernel/mm/vm-flags.ts';
import { machine } from '../../machine/current.ts';
import { ZERO_PFN } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Pfn } from '../../machine/pte.ts';
import type { Steps } from '../../sched/op.ts';
import { ARENA, ARENA_PAGES } from './operations.ts';

/** Mappings grow out of the arena at either end. */
const AROUND: number = ARENA - ARENA_PAGES * PAGE_SIZE;
const MARKER_TYPE = 0x1fn;

/** "V" with the mappings of the arena and their VmFlags, "P" with its pagemap in runs. */
export function* stateLines(mm: Mm, pages: number): Steps<string[]> {
  const end = ARENA + (pages + ARENA_PAGES) * PAGE_SIZE;
  const all = [...(yield* pagemapWords(mm, AROUND, end, true))];
  const words = all.slice(ARENA_PAGES, ARENA_PAGES + pages);
  const resident = (start: number, end: number): number =>
    all.slice(start + ARENA_PAGES, end + ARENA_PAGES).filter(isResident).length;
  let mappings = 'V';
  for (const vma of mm.vmas.range(AROUND, end)) {
    const [start, last] = [(vma.start - ARENA) / PAGE_SIZE, (vma.end - ARENA) / PAGE_SIZE];
    // Not in kernels built without MEM_SOFT_DIRTY.
    mappings += ` ${start}-${last} rss ${resident(start, last)}${hugeText(vma)} ${vmFlagLetters(withoutFlag(vma.flags, VM_SOFTDIRTY))};`;
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

/** Pages of huge pages: AnonHugePages of smaps. */
function hugeText(vma: Vma): string {
  if (!machine.frames.anyLarge) return '';
  const stats = new MemSizeStats();
  stats.add(vma);
  return stats.anonHuge > 0 ? ` huge ${stats.anonHuge / PAGE_SIZE}` : '';
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
export function* dataLine(mm: Mm, pages: number): Steps<string> {
  let line = 'F';
  const words = yield* pagemapWords(mm, ARENA, ARENA + pages * PAGE_SIZE, true);
  for (const [page, word] of words.entries()) {
    const vma = mm.vmas.find(ARENA + page * PAGE_SIZE);
    if ((word & PM_PRESENT) === 0n || vma === null || !has(vma.flags, VM_ACCESS_FLAGS)) continue;
    const frame = Number(word & PM_PFRAME_MASK) as Pfn;
    const size = machine.frames.contentBytes;
    const bytes = machine.frames.read(frame, 0, size);
    const view = new DataView(bytes.buffer, bytes.byteOffset, size);
    let hash = 0;
    for (let i = 0; i < size; i += 4) {
      hash = (Math.imul(hash, 31) + view.getUint32(i, true)) | 0;
    }
    line += ` ${page}:${(hash >>> 0).toString(16)}`;
  }
  return line;
}
