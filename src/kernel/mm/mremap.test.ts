// mremap: what moves, what stays, who is told, and what an error leaves behind. semantics.md section 5; answers that
// name 6.18 were asked of it.
import { afterEach, describe, expect, test } from 'vitest';
import { A, answer, Kit, P, readMessages } from '../../../test/kernel/kit.ts';
import { FIRST } from '../../../test/kernel/scene.ts';
import type { Steps } from '../../sched/op.ts';
import { MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE } from '../../uapi/mman.ts';
import {
  UFFD_FEATURE_EVENT_REMAP,
  UFFD_FEATURE_EVENT_UNMAP,
  UFFD_FEATURE_WP_UNPOPULATED,
} from '../../uapi/userfaultfd.ts';
import { vmFlagLetters } from '../fs/proc/maps.ts';
import { mremapOneVma } from '../patches/mremap.ts';
import { doMremap } from './mremap.ts';
import { VM_LOCKED, VM_SEALED, withFlag } from './vm-flags.ts';

const FIXED = MREMAP_MAYMOVE | MREMAP_FIXED;
const KEEP = FIXED | MREMAP_DONTUNMAP;
let kit = new Kit();

function fresh(...patches: ConstructorParameters<typeof Kit>): Kit {
  kit = new Kit(...patches);
  return kit;
}

/** Pages moved from one page to another; a number is the page of the result. */
function move(from: number, pages: number, to: number, flags = FIXED, newPages = pages): unknown {
  return kit.alone(moving(from, pages, to, flags, newPages));
}
function* moving(
  from: number,
  pages: number,
  to: number,
  flags = FIXED,
  newPages = pages,
): Steps<unknown> {
  const request = {
    address: A + from * P,
    oldLength: pages * P,
    newLength: newPages * P,
    flags,
    newAddress: A + to * P,
  };
  const result = yield* doMremap(kit.task.mmOrDie, request);
  return result < 0 ? answer(result) : (result - A) / P;
}

afterEach(() => {
  expect(kit.census()).toBeNull();
});

describe('moving', () => {
  test.each([
    ['entry by entry', 0, 3, 21],
    ['whole tables', 0, 8, 16],
    ['a table and a half', 0, 6, 16],
    ['tables of which the VMA begins in the middle', 2, 6, 18],
  ])('%s: data, holes and write permission come along', (_what, from, pages, to) => {
    const { task } = fresh();
    kit.map(from, pages);
    for (let i = 0; i < pages; i += 2) kit.store(from + i, 10 + i);
    const { inUse } = kit.world.machine.frames;
    expect(move(from, pages, to)).toBe(to);
    expect(kit.maps()).toEqual([`${to}-${to + pages}`]);
    for (let i = 0; i < pages; i++) {
      expect(kit.slot(to + i)).toContain(i % 2 === 0 ? 'present write' : 'none');
      expect(kit.load(to + i)).toBe(i % 2 === 0 ? 10 + i : 0);
    }
    expect(kit.load(from)).toMatchObject({ signal: 'SEGV' });
    expect(kit.world.machine.frames.inUse).toBe(inUse);
    expect(task.mmOrDie.totalVm).toBe(pages);
    expect(task.mmOrDie.rss.anon).toBe(Math.ceil(pages / 2));
  });

  test('a whole table moves as one word: it is the same table afterwards', () => {
    fresh();
    kit.map(0, 4);
    kit.store(1, 5);
    const { inUse } = kit.world.machine.tables;
    const moved = kit.pte(1);
    expect(move(0, 4, 8)).toBe(8);
    expect(kit.pte(9)).toEqual(moved);
    // Moving entries instead would have taken a second table, and freed the first.
    expect(kit.world.machine.tables.inUse).toBe(inUse);
  });

  test('the destination loses what was there, and the ends of what it cuts stay', () => {
    fresh();
    kit.map(0, 2);
    kit.map(8, 6);
    kit.store(9, 1);
    kit.store(10, 2);
    kit.store(0, 3);
    expect(move(0, 2, 10)).toBe(10);
    expect([kit.load(9), kit.load(10), kit.load(11)]).toEqual([1, 3, 0]);
    expect(kit.maps()).toEqual(['8-10', '10-12', '12-14']);
  });

  test('growth moves when something is behind, and only with MAYMOVE', () => {
    fresh();
    kit.map(0, 2);
    kit.map(2, 1, 1);
    kit.store(1, 4);
    expect(move(0, 2, 0, 0, 4)).toBe('ENOMEM');
    const to = move(0, 2, 0, MREMAP_MAYMOVE, 4);
    expect(typeof to).toBe('number');
    expect([kit.load(Number(to) + 1), kit.load(Number(to) + 3)]).toEqual([4, 0]);
  });

  test('moved away and back, written memory is one mapping again', () => {
    fresh();
    kit.map(0, 4);
    kit.store(0, 1);
    kit.store(2, 2);
    expect(move(2, 2, 20)).toBe(20);
    expect(kit.maps()).toEqual(['0-2', '20-22']);
    expect(move(20, 2, 2)).toBe(2);
    expect(kit.maps()).toEqual(['0-4']);
    expect(kit.load(2)).toBe(2);
  });

  test('memory never written joins its neighbour, which may be where it came from', () => {
    fresh();
    kit.map(0, 4);
    expect(move(0, 2, 4)).toBe(4);
    expect(kit.maps()).toEqual(['2-6']);
    expect(move(4, 2, 0)).toBe(0);
    expect(kit.maps()).toEqual(['0-4']);
  });

  test('FIXED with a smaller size unmaps the tail, even of other mappings (6.18)', () => {
    fresh();
    kit.map(0, 2);
    kit.map(2, 2, 1);
    kit.store(0, 1);
    expect(move(0, 4, 8, FIXED, 1)).toBe(8);
    expect(kit.maps()).toEqual(['8-9']);
    expect(move(8, 2, 0, FIXED, 2)).toBe(0);
    expect(move(0, 2, 8, FIXED, 4)).toBe('EFAULT');
  });

  test('out of page tables half way: everything is back and the destination is empty', () => {
    const { world } = fresh();
    const { tables } = world.machine;
    kit.map(0, 6);
    for (let i = 0; i < 6; i++) kit.store(i, 10 + i);
    const hoard: number[] = [];
    for (let t = tables.alloc(0); t >= 0; t = tables.alloc(0)) hoard.push(t);
    tables.free(hoard.pop() ?? 0, 0);
    expect(move(0, 6, 9)).toBe('ENOMEM');
    for (const t of hoard) tables.free(t, 0);
    expect(kit.maps()).toEqual(['0-6']);
    for (let i = 0; i < 6; i++) expect(kit.load(i)).toBe(10 + i);
    expect(kit.task.mmOrDie.totalVm).toBe(6);
  });
});

describe('DONTUNMAP', () => {
  test('leaves the source mapped and empty', () => {
    fresh();
    kit.map(0, 3);
    kit.store(1, 9);
    expect(move(0, 3, 8, KEEP)).toBe(8);
    expect(kit.maps()).toEqual(['0-3', '8-11']);
    expect([kit.load(9), kit.load(1)]).toEqual([9, 0]);
    expect(kit.store(1, 2)).toBeNull();
  });

  test('a whole VMA gives up its anon_vma, part of one keeps it', () => {
    fresh();
    kit.map(0, 3);
    kit.store(0, 1);
    move(0, 3, 8, KEEP);
    expect(kit.task.mmOrDie.vmas.find(A)?.anonVma).toBeNull();
    move(8, 1, 16, KEEP);
    expect(kit.task.mmOrDie.vmas.find(A + 8 * P)?.anonVma).not.toBeNull();
  });

  test('all of the source is no longer locked, and VmLck does not hear of it (6.18)', () => {
    fresh();
    kit.map(0, 4);
    const mm = kit.task.mmOrDie;
    const vma = mm.vmas.find(A);
    if (vma === null) throw new Error('no mapping');
    vma.flags = withFlag(vma.flags, VM_LOCKED);
    mm.lockedVm = 4;
    expect(move(0, 2, 20, KEEP)).toBe(20);
    expect([...mm.vmas].map((v) => vmFlagLetters(v.flags))).toEqual([
      'rd wr mr mw me ac',
      'rd wr mr mw me lo ac',
    ]);
    expect(mm.lockedVm).toBe(6);
  });
});

describe('several mappings at once', () => {
  test('holes keep their size, and what is mapped opposite one stays', () => {
    fresh();
    kit.map(0, 2);
    kit.map(3, 2, 1);
    kit.map(18, 1);
    kit.store(0, 1);
    kit.store(18, 5);
    expect(move(0, 5, 16)).toBe(16);
    expect(kit.maps()).toEqual(['16-18', '18-19', '19-21']);
    expect([kit.load(16), kit.load(18)]).toEqual([1, 5]);
  });
  test('a hole at the start is EFAULT, one at the end is not', () => {
    fresh();
    kit.map(1, 2);
    expect(move(0, 2, 16)).toBe('EFAULT');
    expect(move(1, 5, 16)).toBe(16);
  });
  test('one that is registered moves alone: met later, those before it have moved', () => {
    fresh();
    kit.map(0, 2);
    kit.map(2, 2, 1);
    kit.map(4, 2);
    const fd = kit.uffd();
    kit.ioctl(fd, 'REGISTER', { ...kit.range(4, 2), mode: 1 });
    expect(move(0, 6, 16)).toBe('EFAULT');
    expect(kit.maps()).toEqual(['4-6 missing', '16-18', '18-20']);
    kit.map(6, 1);
    expect(move(4, 3, 24)).toBe('EFAULT');
    expect(move(4, 2, 24)).toBe(24);
    expect(kit.maps()).toEqual(['6-7', '16-18', '18-20', '24-26']);
  });
  test('before 6.17 only one', () => {
    fresh([mremapOneVma]);
    kit.map(0, 2);
    kit.map(2, 2, 1);
    expect(move(0, 4, 16)).toBe('EFAULT');
    expect(move(0, 2, 16)).toBe(16);
  });
});

describe('errors that need a state', () => {
  test('a sealed source or destination is EPERM', () => {
    fresh();
    kit.map(0, 2);
    kit.map(8, 2);
    const vma = kit.task.mmOrDie.vmas.find(A);
    if (vma === null) throw new Error('no mapping');
    vma.flags = withFlag(vma.flags, VM_SEALED);
    expect(move(0, 2, 16)).toBe('EPERM');
    expect(move(0, 2, 0, 0, 1)).toBe('EPERM');
    expect(move(8, 2, 1)).toBe('EPERM');
    expect(kit.maps()).toEqual(['0-2', '8-10']);
  });
  // With max_map_count 65530, 65524 mappings were enough for 6.18 and 65526 too many.
  test.each([
    [7, 16],
    [6, 'ENOMEM'],
  ])('with one mapping and max_map_count %i', (limit, expected) => {
    fresh();
    kit.map(0, 2);
    kit.world.sysctl.maxMapCount = limit;
    expect(move(0, 2, 16)).toBe(expected);
  });
});

describe('a monitor', () => {
  const protectedPages = (features: number): number => {
    fresh();
    kit.map(0, 3);
    kit.store(0, 1);
    const fd = kit.uffd(features | UFFD_FEATURE_WP_UNPOPULATED);
    kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 3), mode: 2 });
    kit.ioctl(fd, 'WRITEPROTECT', { ...kit.range(0, 2), mode: 1 });
    return fd;
  };

  test('that did not ask for EVENT_REMAP loses the mapping and what it protected', () => {
    protectedPages(0);
    expect(kit.slot(1)).toBe('marker uffd-wp');
    expect(move(0, 3, 8)).toBe(8);
    expect(kit.maps()).toEqual(['8-11']);
    expect([kit.slot(8), kit.slot(9)]).toEqual(['present dirty young', 'none']);
    expect(kit.store(8, 5)).toBeNull();
  });

  test('whole tables do not move then', () => {
    fresh();
    kit.map(0, 4);
    kit.store(0, 1);
    const fd = kit.uffd();
    kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 4), mode: 2 });
    kit.ioctl(fd, 'WRITEPROTECT', { ...kit.range(0, 4), mode: 1 });
    expect(move(0, 4, 8)).toBe(8);
    expect(kit.slot(8)).toBe('present dirty young');
  });

  test('that asked keeps both, and hears: destination unmapped, remap, source unmapped (6.18)', () => {
    const fd = protectedPages(UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_UNMAP);
    kit.map(8, 3);
    kit.ioctl(fd, 'REGISTER', { ...kit.range(8, 3), mode: 1 });
    let result: unknown;
    kit.thread('mover', function* () {
      result = yield* moving(0, 3, 8);
    });
    const heard: unknown[] = [];
    while (kit.world.sched.execute(FIRST, 1000) === 'stuck') {
      const protect = { ...kit.range(8, 1), mode: 1 };
      expect(kit.ioctl(fd, 'WRITEPROTECT', protect).result).toBe('EAGAIN');
      heard.push(...kit.alone(readMessages(kit.task, fd)));
    }
    expect(result).toBe(8);
    const at = (page: number): number => A + page * P;
    expect(heard).toEqual([
      { event: 'unmap', start: at(8), end: at(11) },
      { event: 'remap', from: at(0), to: at(8), len: 3 * P },
      { event: 'unmap', start: at(0), end: at(3) },
    ]);
    expect(kit.maps()).toEqual(['8-11 wp']);
    expect(kit.slot(9)).toBe('marker uffd-wp');
  });
});
