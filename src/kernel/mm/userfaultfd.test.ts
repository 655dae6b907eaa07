import { describe, expect, test } from 'vitest';
import { A, Kit, P } from '../../../test/kernel/kit.ts';
import { wpOneVma } from '../patches/wp-one-vma.ts';
import { parseProfile } from '../profiles.ts';
import type { Patch } from '../seam.ts';

// Errnos and effects of WRITEPROTECT: semantics.md section 9.9, measured on 6.18.44.

const WP = { mode: 2 };

function sixPointOne(): readonly Patch[] {
  const profile = parseProfile('6.1');
  return typeof profile === 'string' ? [] : profile.patches;
}

/**
 * The case of the mail "Support WP on multiple VMAs": 16 pages, registered as one mapping, then made two by mprotect of
 * the first half; here besides a hole at 10.
 */
function twoMappingsAndAHole(patches: readonly Patch[]): { kit: Kit; fd: number } {
  const kit = new Kit(patches);
  kit.map(0, 16, 0);
  const fd = kit.uffd();
  kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 16), ...WP });
  kit.protect(0, 8, 3);
  kit.store(0, 1);
  kit.store(5, 1);
  kit.unmap(10, 1);
  return { kit, fd };
}

describe('a range over several mappings and a hole', () => {
  test('6.18 protects all of it', () => {
    const { kit, fd } = twoMappingsAndAHole([]);
    expect(kit.ioctl(fd, 'WRITEPROTECT', { ...kit.range(0, 16), mode: 1 }).result).toBe(0);
    expect([kit.slot(0), kit.slot(5)]).toEqual([
      'present dirty young uffd-wp',
      'present dirty young uffd-wp',
    ]);
    expect(kit.census()).toBeNull();
  });

  test.each([
    ['wp-one-vma', [wpOneVma]],
    ['profile 6.1', sixPointOne()],
  ])('%s refuses it and protects nothing', (_name, patches) => {
    expect(patches.length).toBeGreaterThan(0);
    const { kit, fd } = twoMappingsAndAHole(patches);
    expect(kit.ioctl(fd, 'WRITEPROTECT', { ...kit.range(0, 16), mode: 1 }).result).toBe('ENOENT');
    expect(kit.slot(0)).toBe('present write dirty young');
    expect(kit.ioctl(fd, 'WRITEPROTECT', { ...kit.range(0, 8), mode: 1 }).result).toBe(0);
    expect(kit.slot(0)).toBe('present dirty young uffd-wp');
    expect(kit.census()).toBeNull();
  });
});

test('a mapping without WP stops it: those before stay protected', () => {
  const kit = new Kit();
  kit.map(0, 4);
  kit.store(0, 1);
  kit.store(3, 1);
  const fd = kit.uffd();
  kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 2), mode: 3 });
  expect(kit.ioctl(fd, 'WRITEPROTECT', { ...kit.range(0, 4), mode: 1 }).result).toBe('ENOENT');
  expect([kit.slot(0), kit.slot(3)]).toEqual([
    'present dirty young uffd-wp',
    'present write dirty young',
  ]);
});

test.each([
  ['nothing mapped', { start: 0x10000, len: P, mode: 1 }, 'ENOENT'],
  ['not registered for it', { start: A, len: P, mode: 1 }, 'ENOENT'],
  ['WP with DONTWAKE', { start: A, len: P, mode: 3 }, 'EINVAL'],
  ['unknown mode', { start: A, len: P, mode: 4 }, 'EINVAL'],
  ['empty', { start: 0x10000, len: 0, mode: 1 }, 'EINVAL'],
  ['unaligned', { start: A + 1, len: P, mode: 1 }, 'EINVAL'],
])('%s: refused', (_name, values, expected) => {
  const kit = new Kit();
  kit.map(0, 1);
  const fd = kit.uffd();
  kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 1), mode: 1 });
  expect(kit.ioctl(fd, 'WRITEPROTECT', values).result).toBe(expected);
});

describe('empty anonymous slots', () => {
  test.each([
    ['without WP_UNPOPULATED', 0, 'none'],
    ['with it', 1 << 13, 'marker uffd-wp'],
  ])('%s: %s', (_name, features, slot) => {
    const kit = new Kit();
    kit.map(0, 4);
    const fd = kit.uffd(features);
    kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 4), ...WP });
    kit.ioctl(fd, 'WRITEPROTECT', { ...kit.range(0, 4), mode: 1 });
    expect(kit.slot(2)).toBe(slot);
    kit.ioctl(fd, 'WRITEPROTECT', { ...kit.range(0, 4), mode: 0 });
    expect(kit.slot(2)).toBe('none');
    expect(kit.census()).toBeNull();
  });
});

test('after unprotecting, writes go on without a message', () => {
  const kit = new Kit();
  kit.map(0, 1);
  kit.store(0, 1);
  const fd = kit.uffd();
  kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 1), ...WP });
  kit.ioctl(fd, 'WRITEPROTECT', { ...kit.range(0, 1), mode: 1 });
  kit.ioctl(fd, 'WRITEPROTECT', { ...kit.range(0, 1), mode: 0 });
  expect(kit.store(0, 9)).toBeNull();
  expect(kit.load(0)).toBe(9);
  expect(kit.ctx(fd).pendingFaults).toEqual([]);
});

test('WP_ASYNC: a write clears the bit and goes on', () => {
  const kit = new Kit();
  kit.map(0, 1);
  kit.store(0, 1);
  const fd = kit.uffd(1 << 15);
  kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 1), ...WP });
  kit.ioctl(fd, 'WRITEPROTECT', { ...kit.range(0, 1), mode: 1 });
  expect(kit.slot(0)).toBe('present dirty young uffd-wp');
  expect(kit.store(0, 2)).toBeNull();
  expect(kit.slot(0)).toBe('present write dirty young');
});
