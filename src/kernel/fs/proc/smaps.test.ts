// smaps, smaps_rollup, status, meminfo and the settings beside them. Names, order and columns are those of 6.18
// (x86-64); the figures of each case were asked of it with the same calls.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KernelWorld } from '../../../../test/kernel-world.ts';
import { must } from '../../../base/assert.ts';
import { MADV_COLD, MADV_FREE } from '../../../uapi/mman.ts';
import { doMadvise } from '../../mm/madvise.ts';
import { doMlock } from '../../mm/mlock.ts';
import { doMunmap } from '../../mm/munmap.ts';
import { type File, fput } from '../file.ts';
import { openFile } from '../open.ts';
import { PATHS } from '../pseudo.ts';
import { procSmaps } from './smaps.ts';

const P = 4096;
let k: KernelWorld;
beforeEach(() => {
  k = new KernelWorld();
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
});

function open(path: string): File {
  const file = k.run(openFile(k.task, 0, path, 0, 0));
  if (typeof file === 'number') throw new Error(`${path}: ${file}`);
  return file;
}
function read(file: File): string {
  const bytes = k.run(must(file.ops.read, 'read')(k.task, file, 65536, null));
  return typeof bytes === 'number' ? String(bytes) : String.fromCharCode(...bytes);
}
function text(path: string): string {
  const file = open(path);
  const content = read(file);
  k.run(fput(k.task, file));
  return content;
}
/** Figures of a text by name: in kB where it says kB. */
function figures(content: string): Record<string, number> {
  const rows = [...content.matchAll(/^([\w()]+):\s+(\d+)/gm)];
  return Object.fromEntries(rows.map(([, name, value]) => [name ?? '', Number(value)]));
}
const names = (content: string): string[] =>
  [...content.matchAll(/^([\w()]+):/gm)].map((m) => m[1] ?? '');

test('smaps of four written pages is, line by line, what 6.18 writes', () => {
  const a = k.map(5);
  for (let i = 0; i < 4; i++) k.store(a + i * P, i + 1);
  k.load(a + 4 * P);
  expect(text('/proc/self/smaps').split('\n').slice(1)).toEqual([
    'Size:                 20 kB',
    'KernelPageSize:        4 kB',
    'MMUPageSize:           4 kB',
    'Rss:                  16 kB',
    'Pss:                  16 kB',
    'Pss_Dirty:            16 kB',
    'Shared_Clean:          0 kB',
    'Shared_Dirty:          0 kB',
    'Private_Clean:         0 kB',
    'Private_Dirty:        16 kB',
    'Referenced:           16 kB',
    'Anonymous:            16 kB',
    'KSM:                   0 kB',
    'LazyFree:              0 kB',
    'AnonHugePages:         0 kB',
    'ShmemPmdMapped:        0 kB',
    'FilePmdMapped:         0 kB',
    'Shared_Hugetlb:        0 kB',
    'Private_Hugetlb:       0 kB',
    'Swap:                  0 kB',
    'SwapPss:               0 kB',
    'Locked:                0 kB',
    'THPeligible:           0',
    'VmFlags: rd wr mr mw me ac ',
    '',
  ]);
});

test('MADV_FREE makes pages clean and unused, a write and a read show again; COLD makes them unused', () => {
  const a = k.map(4);
  const { mmOrDie: mm } = k.task;
  for (let i = 0; i < 4; i++) k.store(a + i * P, 1);
  k.run(doMadvise(mm, a, 4 * P, MADV_FREE));
  expect(figures(procSmaps(mm))).toMatchObject({
    Private_Clean: 16,
    Private_Dirty: 0,
    Referenced: 0,
  });
  k.store(a, 2);
  k.load(a + P);
  expect(figures(procSmaps(mm))).toMatchObject({
    Private_Clean: 12,
    Private_Dirty: 4,
    Referenced: 8,
  });
  // 6.18 says so once its per-CPU batch has been drained.
  expect(figures(procSmaps(mm))).toMatchObject({ LazyFree: 12 });
  k.run(doMadvise(mm, a, 4 * P, MADV_COLD));
  expect(figures(procSmaps(mm))).toMatchObject({ Private_Dirty: 4, Referenced: 0 });
});

test('pages shared with a child count half', () => {
  const a = k.map(4);
  for (let i = 0; i < 4; i++) k.store(a + i * P, 1);
  const child = k.fork();
  expect(figures(text('/proc/self/smaps'))).toMatchObject({
    Rss: 16,
    Pss: 8,
    Shared_Dirty: 16,
    Private_Dirty: 0,
    Anonymous: 16,
  });
  k.exit(child);
});

test('smaps_rollup sums up', () => {
  const a = k.map(4);
  k.map(2, 1, a + 8 * P);
  k.store(a, 1);
  k.run(doMlock(k.task.mmOrDie, a, 2 * P, 0));
  const rollup = text('/proc/self/smaps_rollup');
  expect(rollup.split('\n')[0]).toMatch(
    /^[0-9a-f]{8}-[0-9a-f]{8} ---p 00000000 00:00 0 {34}\[rollup\]$/,
  );
  expect(figures(rollup)).toMatchObject({ Rss: 8, Pss_Anon: 8, Pss_File: 0, Locked: 8 });
  expect(names(rollup).slice(0, 6)).toEqual([
    'Rss',
    'Pss',
    'Pss_Dirty',
    'Pss_Anon',
    'Pss_File',
    'Pss_Shmem',
  ]);
});

test('status: sizes, peaks and locked memory follow what is mapped', () => {
  const a = k.map(6);
  for (let i = 0; i < 4; i++) k.store(a + i * P, 1);
  k.run(doMlock(k.task.mmOrDie, a, P, 0));
  k.run(doMunmap(k.task.mmOrDie, a + 2 * P, 4 * P));
  const status = text('/proc/self/status');
  expect(figures(status)).toMatchObject({
    Pid: k.task.tid,
    VmPeak: 24,
    VmSize: 8,
    VmLck: 4,
    VmHWM: 16,
    VmRSS: 8,
    RssAnon: 8,
    VmData: 8,
    Threads: 1,
  });
  expect(status).toContain('VmSize:\t       8 kB\n');
  expect(
    names(status)
      .filter((n) => /^(Vm|Rss|Huge)/.test(n))
      .join(' '),
  ).toBe(
    'VmPeak VmSize VmLck VmPin VmHWM VmRSS RssAnon RssFile RssShmem VmData VmStk VmExe VmLib VmPTE VmSwap HugetlbPages',
  );
});

test('meminfo counts frames', () => {
  const before = figures(text('/proc/meminfo'));
  const a = k.map(3);
  for (let i = 0; i < 3; i++) k.store(a + i * P, 1);
  k.run(doMlock(k.task.mmOrDie, a, P, 0));
  const after = figures(text('/proc/meminfo'));
  expect((before['MemFree'] ?? 0) - (after['MemFree'] ?? 0)).toBe(12);
  expect(after).toMatchObject({ AnonPages: 12, Mlocked: 4, Committed_AS: 12, SwapTotal: 0 });
  expect(text('/proc/meminfo')).toMatch(/^MemTotal: {7}/);
});

test('a text is made anew after seeking back to its beginning, and has no end to seek to', () => {
  const file = open('/proc/self/maps');
  expect(read(file)).toBe('');
  const a = k.map(1);
  expect(read(file)).toContain(a.toString(16));
  expect(read(file)).toBe('');
  const seek = must(file.ops.seek, 'seek');
  expect([seek(file, 0, 2), seek(file, 0, 0)]).toEqual([-22, 0]);
  expect(read(file)).not.toBe('');
});

test('every setting can be read, and says that there are no huge pages', () => {
  for (const path of PATHS.filter((p) => p.startsWith('/sys/') || p.startsWith('/proc/sys/'))) {
    expect(text(path), path).toMatch(/\n$/);
  }
  expect(text('/sys/kernel/mm/transparent_hugepage/enabled')).toBe('always madvise [never]\n');
  expect(text('/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages')).toBe('0\n');
});
