// What merging shows to user space: measured on 6.18.44, eight pages of one content, ksmd running.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KernelWorld } from '../../../test/kernel-world.ts';
import { must } from '../../base/assert.ts';
import { ptePfn } from '../../machine/pte.ts';
import { MADV_DONTNEED, MADV_MERGEABLE, MADV_UNMERGEABLE } from '../../uapi/mman.ts';
import { peekPte } from '../check/page-tables.ts';
import { procSmaps } from '../fs/proc/smaps.ts';
import { syscallByName } from '../syscall/dispatch.ts';
import { ksm, ksmScanPage } from './ksm.ts';
import { KSM_SETTINGS, KSM_STORES, procKsmStat, unmergeMm } from './ksmd.ts';

const P = 4096;
const PAGES = 8;
let k: KernelWorld;
let a: number;

beforeEach(() => {
  k = new KernelWorld();
  a = k.map(PAGES);
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

function call(name: string, ...args: number[]): number {
  return k.run(must(syscallByName(name), name).handler(k.task, args));
}
const frames = (): number =>
  new Set(Array.from({ length: PAGES }, (_, i) => ptePfn(peekPte(k.task.mmOrDie, a + i * P)))).size;
function fill(value: number): void {
  for (let i = 0; i < PAGES; i++) k.store(a + i * P, value);
}
function scan(): void {
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < PAGES; i++) k.run(ksmScanPage(k.task.mmOrDie, a + i * P, true));
  }
}
function merge(value: number): void {
  fill(value);
  expect(call('madvise', a, PAGES * P, MADV_MERGEABLE)).toBe(0);
  scan();
}

test('equal pages become one, and its reader sees what it wrote', () => {
  merge(7);
  expect(frames()).toBe(1);
  for (let i = 0; i < PAGES; i++) expect(k.load(a + i * P)).toBe(7);
  expect(procKsmStat(k.task.mmOrDie)).toBe(
    'ksm_rmap_items 8\nksm_zero_pages 0\nksm_merging_pages 8\nksm_process_profit 32256\nksm_merge_any: no\nksm_mergeable: yes\n',
  );
  expect(KSM_SETTINGS['/sys/kernel/mm/ksm/pages_shared']?.()).toBe('1');
  expect(KSM_SETTINGS['/sys/kernel/mm/ksm/pages_sharing']?.()).toBe('7');
  const smaps = procSmaps(k.task.mmOrDie);
  expect(smaps).toMatch(/KSM: +32 kB/);
  expect(smaps).toMatch(/Shared_Dirty: +32 kB/);
});

test('pages that nobody may merge stay apart', () => {
  fill(7);
  scan();
  expect(frames()).toBe(PAGES);
});

test('a write gets a page of its own, also when nobody else has the merged one any more', () => {
  merge(7);
  k.store(a, 8);
  expect([k.load(a), k.load(a + P), frames()]).toEqual([8, 7, 2]);
  call('madvise', a, (PAGES - 1) * P, MADV_DONTNEED);
  const last = a + (PAGES - 1) * P;
  const before = ptePfn(peekPte(k.task.mmOrDie, last));
  k.store(last, 9);
  expect(ptePfn(peekPte(k.task.mmOrDie, last))).not.toBe(before);
});

test('MADV_UNMERGEABLE gives every page back its own, with the same content', () => {
  merge(7);
  expect(call('madvise', a, PAGES * P, MADV_UNMERGEABLE)).toBe(0);
  expect(frames()).toBe(PAGES);
  expect(k.load(a + 3 * P)).toBe(7);
});

test('pages of zeroes become the zero page where that is wanted, and are unmerged from it too', () => {
  ksm().useZeroPages = true;
  merge(0);
  expect(frames()).toBe(1);
  expect(KSM_SETTINGS['/sys/kernel/mm/ksm/ksm_zero_pages']?.()).toBe('8');
  k.run(unmergeMm(k.task.mmOrDie));
  expect(frames()).toBe(PAGES);
  expect(KSM_SETTINGS['/sys/kernel/mm/ksm/ksm_zero_pages']?.()).toBe('0');
});

test('fork shares what is merged', () => {
  merge(7);
  const child = k.fork();
  k.store(a, 8, child);
  expect([k.load(a), k.load(a, child), k.load(a + P, child)]).toEqual([7, 8, 7]);
});

test('a process may have all its private memory merged, new mappings too; shared memory never is', () => {
  expect(call('prctl', 68, 0, 0, 0, 0)).toBe(0);
  expect(call('prctl', 67, 1, 1, 0, 0)).toBe(-22);
  expect(call('prctl', 67, 1, 0, 0, 0)).toBe(0);
  expect(call('prctl', 68, 0, 0, 0, 0)).toBe(1);
  const later = k.map(1);
  const shared = call('mmap', 0, P, 3, 0x21, -1, 0);
  expect(procSmaps(k.task.mmOrDie)).toMatch(/ mg /);
  expect(k.vma(later).flags & 0x40000000).not.toBe(0);
  expect(k.vma(shared).flags & 0x40000000).toBe(0);
  fill(7);
  scan();
  expect(call('prctl', 67, 0, 0, 0, 0)).toBe(0);
  expect(frames()).toBe(PAGES);
  expect(k.vma(later).flags & 0x40000000).toBe(0);
});

test('ksm/run takes 0, 1 and 2', () => {
  const store = must(KSM_STORES['/sys/kernel/mm/ksm/run'], 'run');
  const write = (text: string): number => {
    const result = store(text);
    return typeof result === 'number' ? result : k.run(result);
  };
  expect(write('4')).toBe(-22);
  merge(7);
  expect(write('2\n')).toBe(0);
  expect(frames()).toBe(PAGES);
  expect(KSM_SETTINGS['/sys/kernel/mm/ksm/full_scans']?.()).toBe('0');
});
