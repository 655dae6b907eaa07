// UFFDIO_MOVE: every errno of semantics.md section 9.8, and what a page takes along. Checked beside 6.18 by fidelity.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { A, Kit, P } from '../../../test/kernel/kit.ts';
import { MADV_DONTFORK, MADV_GUARD_INSTALL } from '../../uapi/mman.ts';
import { forkTask } from '../core/create.ts';
import { mmput } from './exit-mmap.ts';
import { VM_LOCKED, withFlag } from './vm-flags.ts';

let k: Kit;
let fd: number;
beforeEach(() => {
  k = new Kit();
  fd = k.uffd();
});
afterEach(() => {
  expect(k.census()).toBeNull();
});

/** Pages: 0-3 source, 8-11 destination, registered. */
function areas(mode = 1): void {
  k.map(0, 4);
  k.map(8, 4);
  expect(k.ioctl(fd, 'REGISTER', { ...k.range(8, 4), mode }).result).toBe(0);
}
/** `0 4096`: result and out-field. */
function move(dst: number, src: number, pages = 1, mode = 0): string {
  const values = { dst: A + dst * P, src: A + src * P, len: pages * P, mode, move: 99 };
  const { result, out } = k.ioctl(fd, 'MOVE', values);
  return `${result} ${out['move']}`;
}

test('a page arrives with its content; its old place is empty', () => {
  areas();
  k.store(0, 7);
  expect(move(8, 0)).toBe(`0 ${P}`);
  expect([k.slot(0), k.load(8), k.load(0)]).toEqual(['none', 7, 0]);
  expect(k.world.machine.frames.inUse).toBe(1);
});

test('the zero page moves too, and a later write makes a page of it', () => {
  areas();
  k.load(0);
  expect(move(8, 0)).toBe(`0 ${P}`);
  expect(k.slot(8)).toBe('present young special');
  k.store(8, 3);
  expect(k.load(8)).toBe(3);
});

test('write protection stays behind, as 6.18 has it', () => {
  areas(3);
  k.store(0, 7);
  expect(k.ioctl(fd, 'REGISTER', { ...k.range(0, 4), mode: 2 }).result).toBe(0);
  expect(k.ioctl(fd, 'WRITEPROTECT', { ...k.range(0, 1), mode: 1 }).result).toBe(0);
  expect(move(8, 0)).toBe(`0 ${P}`);
  expect(k.slot(8)).not.toContain('uffd-wp');
  expect(k.slot(8)).toContain('write');
});

test('holes end it, or count as moved when they are allowed', () => {
  areas();
  k.store(0, 1);
  k.store(2, 3);
  expect(move(8, 0, 4)).toBe(`EAGAIN ${P}`);
  expect(move(9, 1)).toBe('ENOENT -2');
  expect(move(9, 1, 3, 2)).toBe(`0 ${3 * P}`);
  expect([k.slot(9), k.load(10)]).toEqual(['none', 3]);
});

describe('refused', () => {
  test.each<readonly [string, string, () => void]>([
    ['EEXIST -17', 'something is there', () => k.ioctl(fd, 'ZEROPAGE', k.range(8, 1))],
    ['EEXIST -17', 'a guard is there', () => void k.advise(8, 1, MADV_GUARD_INSTALL)],
    ['EFAULT -14', 'the source is a guard', () => void k.advise(0, 1, MADV_GUARD_INSTALL)],
    ['ENOENT -2', 'no page at the source', () => void k.advise(0, 1, 4)],
    ['ENOENT -2', 'the source is not mapped', () => void k.unmap(0, 4)],
    ['ENOENT -2', 'the destination is not mapped', () => void k.unmap(8, 4)],
    ['EINVAL -22', 'the source cannot be written', () => void k.protect(0, 4, 1)],
    ['EINVAL -22', 'neither can be written', () => void [0, 8].map((at) => k.protect(at, 4, 1))],
    [
      'EINVAL -22',
      'the destination is not registered',
      () => void k.ioctl(fd, 'UNREGISTER', k.range(8, 4)),
    ],
    [
      'EINVAL -22',
      'one of them is locked',
      () => {
        const vma = k.task.mmOrDie.vmas.find(A);
        if (vma !== null) vma.flags = withFlag(vma.flags, VM_LOCKED);
      },
    ],
  ])('%s: %s', (expected, _what, change) => {
    areas();
    k.store(0, 1);
    change();
    expect(move(8, 0)).toBe(expected);
  });

  test('ranges that leave their mapping, with nothing moved', () => {
    areas();
    k.store(3, 1);
    expect(move(8, 3, 2)).toBe('EINVAL -22');
    expect(move(11, 0, 2)).toBe('EINVAL -22');
    expect(k.load(3)).toBe(1);
  });

  test('wrong arguments leave the out-field alone', () => {
    areas();
    expect(move(8, 0, 0)).toBe('EINVAL 99');
    expect(move(8, 0, 1, 4)).toBe('EINVAL 99');
    expect(move(8.5, 0)).toBe('EINVAL 99');
    expect(move(8, 0.5)).toBe('EINVAL 99');
  });

  test('a page that fork shared, also after the child is gone, until it is written again', () => {
    areas();
    k.store(0, 5);
    const child = k.alone(forkTask(k.task, { name: 'child', hart: 1, owner: 1 }));
    if (typeof child === 'number') throw new Error('fork');
    expect(move(8, 0)).toBe('EBUSY -16');
    k.alone(mmput(child.mmOrDie));
    child.mm = null;
    expect(move(8, 0)).toBe('EBUSY -16');
    k.store(0, 6);
    expect(move(8, 0)).toBe(`0 ${P}`);
    expect(k.load(8)).toBe(6);
  });
});

test('within one mapping ranges may overlap: page by page', () => {
  k.map(0, 4);
  expect(k.ioctl(fd, 'REGISTER', { ...k.range(0, 4), mode: 1 }).result).toBe(0);
  k.ioctl(fd, 'ZEROPAGE', k.range(1, 1));
  k.store(1, 1);
  k.ioctl(fd, 'ZEROPAGE', k.range(2, 1));
  k.store(2, 2);
  expect(move(0, 1, 2)).toBe(`0 ${2 * P}`);
  expect([k.load(0), k.load(1), k.slot(2)]).toEqual([1, 2, 'none']);
  expect(move(0, 0)).toBe('EEXIST -17');
  expect(move(2, 2)).toBe('ENOENT -2');
});

test('mappings that differ in what does not matter may exchange pages', () => {
  areas();
  k.store(0, 4);
  expect(k.advise(0, 4, MADV_DONTFORK)).toBe(0);
  expect(move(8, 0)).toBe(`0 ${P}`);
});
