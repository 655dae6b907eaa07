// Every invariant notices what it is there for: each row breaks the state on purpose.
import { expect, test } from 'vitest';
import { KernelWorld } from '../../../test/kernel-world.ts';
import { must } from '../../base/assert.ts';
import { PG_ANON_EXCLUSIVE } from '../../machine/frames.ts';
import {
  PTE_NONE,
  PTE_UFFD_WP,
  PTE_WRITE,
  ptePfn,
  withFlags,
  withoutFlags,
} from '../../machine/pte.ts';
import { setPte } from '../../machine/tables.ts';
import { MAP_ANONYMOUS, MAP_FIXED, MAP_SHARED } from '../../uapi/mman.ts';
import { enterWorld } from '../current.ts';
import { openDisk } from '../fs/disk-file.ts';
import { Inode } from '../fs/inode.ts';
import { DISK } from '../fs/super.ts';
import { INODE_LOCK } from '../lock-classes.ts';
import { AnonVma } from '../mm/anon-vma.ts';
import { readPages } from '../mm/filemap-read.ts';
import { defaultHstate, setMaxHugePages } from '../mm/hugetlb.ts';
import { Vma } from '../mm/mm-types.ts';
import { doMmap } from '../mm/mmap.ts';
import { mmuNotifierInvalidateRangeStart } from '../mm/mmu-notifier.ts';
import { pteSlot } from '../mm/pgtable.ts';
import { VM_NONE } from '../mm/vm-flags.ts';
import { type Kvm, kvmCreateVm } from '../virt/kvm/kvm.ts';
import { frameCensus } from './frame-census.ts';
import { peekPte } from './page-tables.ts';
import { CHECKS, runStepChecks } from './table.ts';

/** A page written and shared with a child, and one of the parent's own. */
function scene() {
  const k = new KernelWorld({ swapPages: 4 });
  const a = k.map(2);
  k.store(a, 1);
  k.store(a + 4096, 1);
  const child = k.fork();
  k.store(a + 4096, 2);
  const shmem = k.run(
    doMmap(k.task.mmOrDie, {
      address: a + 0x10000,
      length: 4096,
      prot: 3,
      flags: MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED,
    }),
  );
  k.store(shmem, 3);
  const file = must(k.vma(shmem).file?.inode, 'inode');
  expect(k.wrong()).toBeNull();
  enterWorld(k.world);
  const { frames } = k.world.machine;
  const mm = k.task.mmOrDie;
  const shared = ptePfn(peekPte(mm, a));
  const own = ptePfn(peekPte(mm, a + 4096));
  const slot = (address: number): number => pteSlot(mm, address);
  return { k, a, child, frames, mm, shared, own, slot, shmem, file };
}
type Scene = ReturnType<typeof scene>;

/** A virtual machine whose first page is the shared one. */
function guest(s: Scene): Kvm {
  const kvm = s.k.run(kvmCreateVm(0, 'V', s.mm));
  kvm.addSlot(s.a, 2);
  return kvm;
}

const breakages: readonly (readonly [string, RegExp, (s: Scene) => void])[] = [
  ['mapcount', /has mapcount 3 and is mapped by 2/, (s) => s.frames.addMapcount(s.shared, 1)],
  [
    'mapcount',
    /is mapped by 0 entries/,
    (s) => {
      s.k.world.machine.tlbs[0]?.flushAll();
      setPte(s.slot(s.a + 4096), PTE_NONE);
    },
  ],
  [
    'disk-clean',
    /page 0 of file \d+ differs from what the disk has/,
    (s) => {
      enterWorld(s.k.world);
      const file = openDisk(new Inode(0o100644, 0, INODE_LOCK, DISK, 5), 2, 'f');
      const inode = must(file.inode, 'inode');
      inode.size = 4096;
      s.k.run(readPages(inode, 0, 1, null));
      s.frames.write(must(inode.mapping.pages.get(0), 'page'), 0, Uint8Array.of(1));
    },
  ],
  ['mapcount', /mapped 2 times and has 1 references/, (s) => s.frames.put(s.shared, 0)],
  [
    'anon-exclusive',
    /is mapped a second time/,
    (s) => s.frames.setFlag(s.shared, PG_ANON_EXCLUSIVE),
  ],
  [
    'anon-exclusive',
    /is writable at 0x[0-9a-f]+ of mm 1 and not AnonExclusive/,
    (s) => setPte(s.slot(s.a), withFlags(peekPte(s.mm, s.a), PTE_WRITE)),
  ],
  [
    'uffd-wp-not-writable',
    /write-protected and writable/,
    (s) => {
      const own = s.a + 4096;
      setPte(s.slot(own), withFlags(peekPte(s.mm, own), PTE_UFFD_WP));
    },
  ],
  [
    'tlb',
    /hart 0 may still write/,
    (s) => {
      const own = s.a + 4096;
      setPte(s.slot(own), withoutFlags(peekPte(s.mm, own), PTE_WRITE));
    },
  ],
  [
    'tlb',
    /hart 0 still maps/,
    (s) => s.k.world.machine.tlbs[0]?.fill((s.a + 4096) / 4096, s.shared, 1),
  ],
  [
    'tlb',
    /reaches free frame/,
    (s) => {
      const loose = s.frames.alloc(0);
      if (loose === 0) throw new Error('no frame');
      s.frames.put(loose, 0);
      s.mm.tlbFlushPending++;
      s.k.world.machine.tlbs[0]?.fill(s.a / 4096, loose, 1);
    },
  ],
  [
    'rmap',
    /where its anon_vma does not lead/,
    (s) => {
      s.frames.index[s.own] = 1;
    },
  ],
  [
    'rmap',
    /where its anon_vma does not lead/,
    // The child's own anon_vma does not know the parent's VMA.
    (s) => {
      s.frames.mapping[s.shared] = s.k.vma(s.a, s.child).anonVma?.id ?? 0;
    },
  ],
  [
    'anon-vma',
    /does not know a VMA/,
    (s) => {
      const [avc] = s.k.vma(s.a).anonVmaChain;
      if (avc !== undefined) avc.anonVma.links.delete(avc);
    },
  ],
  [
    'anon-vma',
    /counts 2 active VMAs, not 1/,
    (s) => {
      const own = s.k.vma(s.a).anonVma;
      if (own !== null) own.numActiveVmas++;
    },
  ],
  [
    'swap',
    /slot 1 counts 1 entries and 0 name it/,
    (s) => {
      const { counts } = must(s.k.world.swap, 'swap device');
      counts[1] = 1;
    },
  ],
  [
    'swap',
    /frame \d+ is cached for swap slot 1 and does not know it/,
    (s) => {
      const swap = must(s.k.world.swap, 'swap device');
      swap.cache.set(1, s.own);
      swap.used++;
    },
  ],
  [
    'notify',
    /a shadow entry of V maps 0x[0-9a-f]+ of mm 1 to frame \d+, which is not there/,
    (s) => {
      guest(s).sptes.set(0, { pfn: s.own, write: false });
    },
  ],
  [
    'notify',
    /a shadow entry of V may write 0x[0-9a-f]+ of mm 1/,
    (s) => {
      guest(s).sptes.set(0, { pfn: s.shared, write: true });
    },
  ],
  [
    'notify',
    /a shadow entry of V still reaches 0x[0-9a-f]+ of mm 1 although its invalidation has begun/,
    (s) => {
      const kvm = guest(s);
      s.k.run(mmuNotifierInvalidateRangeStart(s.mm, 'clear', s.a, s.a + 4096));
      kvm.sptes.set(0, { pfn: s.shared, write: false });
    },
  ],
  [
    'file-rmap',
    /and in no page cache/,
    (s) => {
      s.file.mapping.pages.clear();
    },
  ],
  [
    'file-rmap',
    /does not know what maps its page/,
    (s) => {
      s.file.mapping.iMmap.clear();
    },
  ],
  [
    'file-rmap',
    /the place of another/,
    (s) => {
      s.k.vma(s.shmem).pgoff++;
    },
  ],
  ['anon-vma', /has no VMA left/, () => void new AnonVma(null)],
  ['vma-tree', /is not whole pages/, (s) => s.mm.vmas.resize(s.k.vma(s.a), s.a, s.a + 8000)],
  [
    'vma-tree',
    /overlaps the one before/,
    (s) => {
      s.mm.vmas.insert(new Vma(s.mm, s.a + 8192, s.a + 16_384, VM_NONE, 0));
      s.k.vma(s.a).end += 4096;
    },
  ],
  [
    'vma-tree',
    /is detached and still in the tree/,
    (s) => {
      s.k.vma(s.a).detached = true;
    },
  ],
  [
    'hugetlb',
    /1 huge pages are promised and 0 are free/,
    (s) => {
      enterWorld(s.k.world);
      defaultHstate().resv = 1;
    },
  ],
  [
    'hugetlb',
    /free huge page \d+ is in use/,
    (s) => {
      enterWorld(s.k.world);
      setMaxHugePages(defaultHstate(), 1);
      s.frames.get(must(defaultHstate().free[0], 'a page'));
    },
  ],
  [
    'entries-in-vmas',
    /belongs to no mapping/,
    (s) => s.mm.vmas.resize(s.k.vma(s.a), s.a, s.a + 4096),
  ],
];

test.each(breakages)('%s notices: %s', (name, sentence, breakIt) => {
  const s = scene();
  breakIt(s);
  const row = CHECKS.find((c) => c.name === name);
  expect(row?.check(s.k.world)).toMatch(sentence);
});

test('every check of the table is broken by some case above', () => {
  const broken = new Set(breakages.map(([name]) => name));
  expect(CHECKS.map((c) => c.name).filter((name) => !broken.has(name))).toEqual([]);
});

test('a pending flush suspends what a TLB may still grant', () => {
  const s = scene();
  const own = s.a + 4096;
  setPte(s.slot(own), withoutFlags(peekPte(s.mm, own), PTE_WRITE));
  s.mm.tlbFlushPending++;
  expect(runStepChecks(s.k.world)).toBeNull();
  s.mm.tlbFlushPending--;
  expect(runStepChecks(s.k.world)?.name).toBe('tlb');
});

test.each([
  [
    'a frame nobody maps',
    /frame \d+ leaked: 1 references, mapped 0 times/,
    (s: Scene) => void s.frames.alloc(0),
  ],
  ['an extra reference', /leaked: 3 references, mapped 2/, (s: Scene) => s.frames.get(s.shared)],
  [
    'a table nobody points at',
    /page-table pages are in use/,
    (s: Scene) => void s.k.world.machine.tables.alloc(0),
  ],
  [
    'a wrong count of resident pages',
    /counts 4 resident pages and maps 3/,
    (s: Scene) => {
      s.mm.rss.anon++;
    },
  ],
])('the census notices %s', (_what, sentence, breakIt) => {
  const s = scene();
  breakIt(s);
  expect(frameCensus(s.k.world)).toMatch(sentence);
});
