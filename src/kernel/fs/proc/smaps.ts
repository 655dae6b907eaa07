/**
 * What is resident of every mapping: /proc/PID/smaps and smaps_rollup. Figures are counted from page-table entries and
 * folios as they are now. @linux fs/proc/task_mmu.c smaps_account, show_smap; proc_pid_smaps(5)
 */
import { machine } from '../../../machine/current.ts';
import { PG_ANON, PG_DIRTY, PG_LAZYFREE, PG_SWAPBACKED } from '../../../machine/frames.ts';
import { PAGE_SIZE } from '../../../machine/geometry.ts';
import {
  PTE_NONE,
  PTE_YOUNG,
  type Pte,
  pteDirty,
  pteHuge,
  pteIsTable,
  pteKind,
  pteOfHuge,
  ptePfn,
  ptePresent,
  pteSpecial,
  swpOffset,
} from '../../../machine/pte.ts';
import { getPte } from '../../../machine/tables.ts';

import { vmaInode } from '../../mm/filemap.ts';

import { hugePteOffset, isPmdShared } from '../../mm/hugetlb-pte.ts';
import { isVmHugetlb, vmaPageSize } from '../../mm/hugetlb-vma.ts';
import { isKsm } from '../../mm/ksm-page.ts';
import type { Mm, Vma } from '../../mm/mm-types.ts';
import { pageInPmd, pmdAddrEnd, pmdSlot, pteSlotIn, skipMissing } from '../../mm/pgtable.ts';
import { linearPageIndex } from '../../mm/rmap.ts';
import { peekSwapped, vmaSwapUsage } from '../../mm/shmem-swap.ts';
import { swapCount } from '../../mm/swapfile.ts';
import { thpAllowable } from '../../mm/thp-policy.ts';
import { has, VM_LOCKED, VM_SHARED, VM_WRITE } from '../../mm/vm-flags.ts';
import { mapsLine, vmFlagLetters } from './maps.ts';

/** Proportional shares are counted in fractions of a byte. @linux PSS_SHIFT */
const PSS_UNIT = 4096;

/** Sums over page-table entries: bytes; the `pss` ones in PSS_UNITths of a byte. @linux struct mem_size_stats */
export class MemSizeStats {
  rss = 0;
  pss = 0;
  pssDirty = 0;
  pssAnon = 0;
  pssFile = 0;
  pssShmem = 0;
  pssLocked = 0;
  sharedClean = 0;
  sharedDirty = 0;
  privateClean = 0;
  privateDirty = 0;
  referenced = 0;
  anonymous = 0;
  ksm = 0;
  lazyfree = 0;
  anonHuge = 0;
  shmemHuge = 0;
  swap = 0;
  swapPss = 0;
  sharedHugetlb = 0;
  privateHugetlb = 0;

  /** Adds what is resident of a VMA. @linux smap_gather_stats */
  add(vma: Vma): void {
    if (isVmHugetlb(vma)) {
      this.hugetlb(vma);
      return;
    }
    const locked = has(vma.flags, VM_LOCKED);
    // What private copies stand for does not count as swapped.
    const swapped = vmaSwapUsage(vma);
    const bySlot = swapped > 0 && !has(vma.flags, VM_SHARED) && has(vma.flags, VM_WRITE);
    if (bySlot) this.swap += emptySlotsSwapped(vma);
    else this.swap += swapped;
    for (let address = skipMissing(vma.mm, vma.start, vma.end); address < vma.end; ) {
      const next = pmdAddrEnd(address, vma.end);
      const pmd = pmdSlot(vma.mm, address);
      const word = pmd < 0 ? PTE_NONE : getPte(pmd);
      const table = pteIsTable(word);
      if (pteHuge(word)) this.#huge(word, next - address);
      for (let page = address; (table || pteHuge(word)) && page < next; page += PAGE_SIZE) {
        const i = pageInPmd(page);
        this.#entry(table ? getPte(pteSlotIn(word, page)) : pteOfHuge(word, i), locked);
      }
      address = skipMissing(vma.mm, next, vma.end);
    }
  }

  #huge(leaf: Pte, bytes: number): void {
    if (pteSpecial(leaf)) return;
    if (machine.frames.hasFlag(ptePfn(leaf), PG_ANON)) this.anonHuge += bytes;
    else this.shmemHuge += bytes;
  }

  /** Pages of pools count apart, and as nothing else. @linux smaps_hugetlb_range */
  private hugetlb(vma: Vma): void {
    const size = vmaPageSize(vma);
    for (let address = skipMissing(vma.mm, vma.start, vma.end); address < vma.end; ) {
      const slot = hugePteOffset(vma.mm, address);
      const pte = slot < 0 ? PTE_NONE : getPte(slot);
      if (ptePresent(pte)) {
        const shared = machine.frames.mapcount(ptePfn(pte)) > 1 || isPmdShared(slot);
        if (shared) this.sharedHugetlb += size;
        else this.privateHugetlb += size;
      }
      address = skipMissing(vma.mm, address + size, vma.end);
    }
  }

  #entry(pte: Pte, locked: boolean): void {
    const kind = pteKind(pte);
    if (kind === 'swap') {
      this.swap += PAGE_SIZE;
      this.swapPss += Math.floor((PAGE_SIZE * PSS_UNIT) / swapCount(swpOffset(pte)));
    }
    if (kind !== 'present' || pteSpecial(pte)) return;
    const { frames } = machine;
    const pfn = ptePfn(pte);
    const anon = frames.hasFlag(pfn, PG_ANON);
    const dirty = pteDirty(pte) || frames.hasFlag(pfn, PG_DIRTY);
    const mappings = frames.pageMapcount(pfn);
    const share = Math.floor((PAGE_SIZE * PSS_UNIT) / Math.max(1, mappings));
    this.rss += PAGE_SIZE;
    this.pss += share;
    if (dirty) this.pssDirty += share;
    if (anon) this.pssAnon += share;
    else if (frames.hasFlag(pfn, PG_SWAPBACKED)) this.pssShmem += share;
    else this.pssFile += share;
    if (locked) this.pssLocked += share;
    if (anon) this.anonymous += PAGE_SIZE;
    if (isKsm(pfn)) this.ksm += PAGE_SIZE;
    if (anon && !dirty && frames.hasFlag(pfn, PG_LAZYFREE)) this.lazyfree += PAGE_SIZE;
    if ((pte & PTE_YOUNG) !== 0) this.referenced += PAGE_SIZE;
    if (mappings > 1 && dirty) this.sharedDirty += PAGE_SIZE;
    else if (mappings > 1) this.sharedClean += PAGE_SIZE;
    else if (dirty) this.privateDirty += PAGE_SIZE;
    else this.privateClean += PAGE_SIZE;
  }

  /** The lines that smaps and smaps_rollup have in common. @linux __show_smap */
  lines(rollup: boolean): string {
    const { pss, pssDirty, pssAnon, pssFile, pssShmem, pssLocked } = this;
    const split = `${part('Pss_Anon', pssAnon)}${part('Pss_File', pssFile)}${part('Pss_Shmem', pssShmem)}`;
    return [
      kb('Rss', this.rss),
      part('Pss', pss),
      part('Pss_Dirty', pssDirty),
      rollup ? split : '',
      kb('Shared_Clean', this.sharedClean),
      kb('Shared_Dirty', this.sharedDirty),
      kb('Private_Clean', this.privateClean),
      kb('Private_Dirty', this.privateDirty),
      kb('Referenced', this.referenced),
      kb('Anonymous', this.anonymous),
      kb('KSM', this.ksm),
      kb('LazyFree', this.lazyfree),
      kb('AnonHugePages', this.anonHuge),
      kb('ShmemPmdMapped', this.shmemHuge),
      kb('FilePmdMapped', 0),
      kb('Shared_Hugetlb', this.sharedHugetlb),
      kb('Private_Hugetlb', this.privateHugetlb),
      kb('Swap', this.swap),
      part('SwapPss', this.swapPss),
      part('Locked', pssLocked),
    ].join('');
  }
}

/** Bytes of pages on the swap device that empty slots of a VMA stand for. @linux smaps_pte_hole_lookup */
function emptySlotsSwapped(vma: Vma): number {
  let bytes = 0;
  for (let page = vma.start; page < vma.end; page += PAGE_SIZE) {
    const pmd = pmdSlot(vma.mm, page);
    const table = pmd < 0 ? PTE_NONE : getPte(pmd);
    const empty = !pteIsTable(table) || getPte(pteSlotIn(table, page)) === PTE_NONE;
    const mapping = vmaInode(vma)?.mapping;
    const index = linearPageIndex(vma, page);
    if (empty && mapping !== undefined && peekSwapped(mapping, index) !== 0) bytes += PAGE_SIZE;
  }
  return bytes;
}

/** `Rss:                  32 kB` */
function kb(name: string, bytes: number): string {
  const value = String(Math.floor(bytes / 1024));
  return `${`${name}:`.padEnd(16)}${value.padStart(8)} kB\n`;
}
function part(name: string, share: number): string {
  return kb(name, share / PSS_UNIT);
}

/** The text of /proc/PID/smaps. */
export function procSmaps(mm: Mm): string {
  let text = '';
  for (const vma of mm.vmas) {
    const stats = new MemSizeStats();
    stats.add(vma);
    const size = vmaPageSize(vma);
    const page = kb('KernelPageSize', size) + kb('MMUPageSize', size);
    text += `${mapsLine(mm, vma)}\n${kb('Size', vma.end - vma.start)}${page}${stats.lines(false)}`;
    text += `THPeligible:           ${thpAllowable(vma, 'smaps') ? 1 : 0}\nVmFlags: ${vmFlagLetters(vma.flags)} \n`;
  }
  return text;
}

/** The text of /proc/PID/smaps_rollup; empty without mappings. */
export function procSmapsRollup(mm: Mm): string {
  const stats = new MemSizeStats();
  const [first] = mm.vmas;
  let end = 0;
  for (const vma of mm.vmas) {
    stats.add(vma);
    end = vma.end;
  }
  if (first === undefined) return '';
  const range = `${first.start.toString(16).padStart(8, '0')}-${end.toString(16).padStart(8, '0')}`;
  return `${`${range} ---p 00000000 00:00 0 `.padEnd(73)}[rollup]\n${stats.lines(true)}`;
}
