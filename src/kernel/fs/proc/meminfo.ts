/** /proc/meminfo: the whole machine's memory. @linux fs/proc/meminfo.c, proc_meminfo(5) */
import { machine } from '../../../machine/current.ts';
import { PG_ANON, PG_SWAPBACKED } from '../../../machine/frames.ts';
import { PAGE_SIZE } from '../../../machine/geometry.ts';
import { world } from '../../current.ts';
import { defaultHstate, hstates } from '../../mm/hugetlb.ts';
import { commitLimitPages } from '../../mm/may-expand-vm.ts';
import { totalSwapPages } from '../../mm/swapfile.ts';
import { has, VM_ACCOUNT } from '../../mm/vm-flags.ts';
import { MemSizeStats } from './smaps.ts';

const PAGE_KB = PAGE_SIZE / 1024;
/** Of x86-64 with four levels. */
const VMALLOC_TOTAL_KB = 34_359_738_367;

/** The text of /proc/meminfo, counted from frames, tables and mappings as they are now. */
export function procMeminfo(): string {
  const { frames, tables } = machine;
  let [anon, mapped, shmem] = [0, 0, 0];
  let [anonHuge, shmemHuge, shmemMappedHuge] = [0, 0, 0];
  for (const { pfn, mapcount } of frames.census()) {
    const flags = frames.flags[pfn] ?? 0;
    const pages = 1 << frames.order(pfn);
    const mappedPages = mapcount === 0 ? 0 : pages;
    const whole = frames.entireMapcount(pfn) > 0 ? pages : 0;
    if ((flags & PG_ANON) !== 0) {
      anon += mappedPages;
      anonHuge += whole;
    } else {
      mapped += mappedPages;
      shmemMappedHuge += whole;
    }
    if ((flags & (PG_ANON | PG_SWAPBACKED)) === PG_SWAPBACKED) {
      shmem += pages;
      if (pages > 1) shmemHuge += pages;
    }
  }
  const { committed, locked } = overMappings();
  const free = (frames.count - frames.inUse) * PAGE_KB;
  const total = frames.count * PAGE_KB;
  const { swap } = world;
  const none = (...names: readonly string[]): [string, number][] => names.map((n) => [n, 0]);
  const rows: readonly (readonly [string, number])[] = [
    ['MemTotal', total],
    ['MemFree', free],
    ['MemAvailable', free],
    ['Buffers', 0],
    ['Cached', shmem * PAGE_KB],
    ['SwapCached', (swap?.cache.size ?? 0) * PAGE_KB],
    ['Active', 0],
    ['Inactive', (anon + shmem) * PAGE_KB],
    ['Active(anon)', 0],
    ['Inactive(anon)', (anon + shmem) * PAGE_KB],
    ...none('Active(file)', 'Inactive(file)'),
    ['Unevictable', locked],
    ['Mlocked', locked],
    ['SwapTotal', totalSwapPages() * PAGE_KB],
    ['SwapFree', Math.max(0, totalSwapPages() - (swap?.used ?? 0)) * PAGE_KB],
    ...none('Zswap', 'Zswapped', 'Dirty', 'Writeback'),
    ['AnonPages', anon * PAGE_KB],
    ['Mapped', mapped * PAGE_KB],
    ['Shmem', shmem * PAGE_KB],
    ...none('KReclaimable', 'Slab', 'SReclaimable', 'SUnreclaim', 'KernelStack'),
    ['PageTables', tables.inUse * PAGE_KB],
    ...none('SecPageTables', 'NFS_Unstable', 'Bounce', 'WritebackTmp'),
    ['CommitLimit', commitLimitPages() * PAGE_KB],
    ['Committed_AS', committed],
    ['VmallocTotal', VMALLOC_TOTAL_KB],
    ...none('VmallocUsed', 'VmallocChunk', 'Percpu'),
    ['AnonHugePages', anonHuge * PAGE_KB],
    ['ShmemHugePages', shmemHuge * PAGE_KB],
    ['ShmemPmdMapped', shmemMappedHuge * PAGE_KB],
    ...none('FileHugePages', 'FilePmdMapped', 'Balloon'),
  ];
  const h = defaultHstate();
  const counts = { Total: h.nr, Free: h.free.length, Rsvd: h.resv, Surp: h.surplus };
  const hugepages = Object.entries(counts).map(
    ([n, count]) => `HugePages_${n}:${`${count}`.padStart(8)}\n`,
  );
  const hugetlb = hstates().reduce((kbs, { nr, size }) => kbs + (nr * size) / 1024, 0);
  const text = rows.map(([name, kb]) => line(name, kb)).join('');
  return `${text}${hugepages.join('')}${line('Hugepagesize', h.size / 1024)}${line('Hugetlb', hugetlb)}`;
}

/** `MemFree:        22367684 kB` */
function line(name: string, kb: number): string {
  return `${`${name}:`.padEnd(16)}${String(kb).padStart(8)} kB\n`;
}

/** What every mapping has promised, and what is resident of the locked ones; kB. */
function overMappings(): { readonly committed: number; readonly locked: number } {
  let committed = 0;
  const stats = new MemSizeStats();
  for (const mm of world.mms) {
    for (const vma of mm.vmas) {
      stats.add(vma);
      if (has(vma.flags, VM_ACCOUNT)) committed += (vma.end - vma.start) / 1024;
    }
  }
  return { committed, locked: Math.floor(stats.pssLocked / 4096 / 1024) };
}
