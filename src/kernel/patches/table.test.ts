import { describe, expect, test } from 'vitest';
import { Kit } from '../../../test/kernel/kit.ts';
import { ERRNO_ROWS, errnoRowText, explain } from '../explain.ts';
import { listProfiles, PROFILES, parseProfile, parseProfiles } from '../profiles.ts';
import { seams, stackPatches } from '../seam.ts';
import { mutationPatches, PATCHES, patchByName } from './table.ts';

describe('patches', () => {
  test('names are unique and every one stacks alone', () => {
    expect(new Set(PATCHES.map((p) => p.name)).size).toBe(PATCHES.length);
    for (const patch of [...PATCHES, ...mutationPatches()]) {
      expect(typeof stackPatches([patch])).not.toBe('string');
    }
  });
  test('every re-validation of F, F-wp, WP and COPY is a seam that can be removed', () => {
    const names = mutationPatches().map((p) => p.name);
    expect(names.length).toBe(seams().filter((s) => s.check !== null).length);
    expect(names).toEqual(
      expect.arrayContaining([
        'without-userfaultfd.mustWait',
        'without-userfaultfd.fillNotChanging',
        'without-userfaultfd.wpNotChanging',
        'without-mfill.dstValid',
        'without-mfill.dstStillValid',
        'without-mfill.notChanging',
        'without-mfill.stillNotChanging',
        'without-mfill.slotFree',
        'without-mwriteprotect.notChanging',
        'without-memory.slotSameOnInstall',
        'without-memory.mayFillMissing',
        'without-memory.slotSameBeforeWp',
        'without-memory.slotSameAfterCopy',
        'without-memory.noFlushPending',
      ]),
    );
    expect(patchByName('without-mfill.slotFree')?.title).toContain('under PTL');
    expect(patchByName('nothing')).toBeNull();
  });
});

describe('profiles', () => {
  test.each(PROFILES.map((p) => p.version))('%s stacks', (version) => {
    const profile = parseProfile(version);
    if (typeof profile === 'string') throw new Error(profile);
    expect(typeof stackPatches(profile.patches)).not.toBe('string');
  });
  test('6.1 offers the features and ioctls of 6.1', () => {
    const profile = parseProfile('6.1/x86-64');
    if (typeof profile === 'string') throw new Error(profile);
    expect(profile.title).toBe('6.1 (partial)');
    const kit = new Kit(profile.patches);
    const fd = kit.uffd();
    kit.map(0, 1);
    const { out } = kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 1), mode: 3 });
    expect(out['ioctls']).toBe(0x5c);
    expect(kit.ioctl(fd, 'POISON', kit.range(0, 1)).result).toBe('EINVAL');
    const again = kit.ioctl(fd, 'API', { api: 0xaa, features: 1 << 13 });
    expect(again.result).toBe('EINVAL');
    kit.ioctl(fd, 'ZEROPAGE', kit.range(0, 1));
    expect(kit.load(0)).toBe(0);
    expect(kit.census()).toBeNull();
  });
  test.each([
    ['5.4', 'unknown profile 5.4: there are 6.18, 6.1'],
    ['6.18/riscv64', 'not yet: profile 6.18/riscv64; x86-64 behaviour is what is modelled so far'],
    ['6.18/vax', 'unknown architecture vax in profile 6.18/vax: there is x86-64'],
    ['6.18/x86-64/1', 'unknown profile 6.18/x86-64/1: there are 6.18, 6.1'],
    ['', 'unknown profile : there are 6.18, 6.1'],
  ])('%s is refused in one line', (text, expected) => {
    expect(parseProfile(text)).toBe(expected);
  });
  test('a list, or all', () => {
    expect(parseProfiles('all')).toEqual(PROFILES);
    expect(parseProfiles('6.1, 6.18, 6.1')).toEqual([PROFILES[1], PROFILES[0]]);
    expect(parseProfiles('6.1,nope')).toContain('unknown profile nope');
    expect(listProfiles()).toContain('6.1 (partial)');
  });
});

describe('errors as data', () => {
  test('each table counts its checks from 1, and every sentence says something', () => {
    const calls = new Map<string, number>();
    for (const row of ERRNO_ROWS) {
      const next = (calls.get(row.call) ?? 0) + 1;
      expect([row.call, row.order]).toEqual([row.call, next]);
      calls.set(row.call, next);
      expect(row.why.length).toBeGreaterThan(10);
    }
  });
  test('which checks of UFFDIO_COPY give EAGAIN?', () => {
    const rows = explain(11, 'uffdio_copy');
    expect(rows.map((r) => r.order)).toEqual([1, 8, 15, 21]);
    expect(errnoRowText(rows[0] ?? ERRNO_ROWS[0] ?? fail())).toMatch(/^UFFDIO_COPY 1 EAGAIN: /);
  });
  test('the task remembers why its call failed', () => {
    const kit = new Kit();
    kit.ioctl(kit.uffd(), 'WAKE', { start: 1, len: 1 });
    expect(kit.task.why?.why).toContain('not page aligned');
  });
});

function fail(): never {
  throw new Error('no row');
}
