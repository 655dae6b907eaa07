import { describe, expect, test } from 'vitest';
import { answer, Kit } from '../../test/kernel/kit.ts';
import { O_NONBLOCK } from '../uapi/fcntl.ts';
import { PATCHES } from './patches/table.ts';
import { FACTS, UNLIKE } from './profile-facts.ts';
import { cellOf, listProfiles } from './profile-table.ts';
import {
  DEFAULT_PROFILE,
  PROFILES,
  parseProfile,
  parseProfiles,
  stackOf,
  VERSIONS,
} from './profiles.ts';
import { orderPatches, type Patch, seams, stackPatches } from './seam.ts';
import { sysUserfaultfd } from './syscall/userfaultfd.ts';
import { inRange, isRange } from './versions.ts';

function patchesOf(name: string): readonly Patch[] {
  const profile = parseProfile(name);
  if (typeof profile === 'string') throw new Error(profile);
  return profile.patches;
}

function patch(name: string, more: Partial<Patch> = {}): Patch {
  return { name, title: name, reference: 'a test', versions: '<6.4', overrides: [], ...more };
}

describe('a stack', () => {
  test.each(PROFILES.map((p) => p.name))('%s can be built', (name) => {
    expect(typeof stackPatches(patchesOf(name))).not.toBe('string');
  });
  test('is made of the patches whose versions and architectures fit, and of no others', () => {
    const all = [
      patch('old'),
      patch('window', { versions: '>=5.10 <6.1' }),
      patch('idea', { versions: 'proposed' }),
      patch('arm', { architectures: ['arm64'] }),
      patch('fixed', { fixedIn: ['5.10.67'] }),
    ];
    const names = (version: string, arch: 'x86-64' | 'arm64' = 'x86-64'): string[] =>
      stackOf(version, arch, all).map((p) => p.name);
    expect(names('6.6')).toEqual([]);
    expect(names('6.1')).toEqual(['old', 'fixed']);
    expect(names('5.10')).toEqual(['old', 'window']);
    expect(names('5.7', 'arm64')).toEqual(['old', 'arm', 'fixed']);
  });
  test('puts each patch after those it names, and keeps the order of the others', () => {
    const [a, b, c] = [patch('a', { after: ['c'] }), patch('b'), patch('c')];
    expect(orderPatches([a, b, c])).toEqual([b, c, a]);
    expect(orderPatches([a, b])).toEqual([a, b]);
    const circle = orderPatches([a, patch('c', { after: ['a'] })]);
    expect(circle).toBe('patches a, c each say that they go after another of them');
  });
  test('whose patches share a seam needs an order, unless all of them only take something away', () => {
    const name = seams()[0]?.name ?? '';
    const over = (commutes: boolean) => [{ seam: name, make: (f: () => void) => f, commutes }];
    const p = patch('p', { overrides: over(true) });
    const q = patch('q', { overrides: over(true) });
    const r = patch('r', { overrides: over(false) });
    expect(typeof stackPatches([p, q])).toBe('object');
    expect(stackPatches([p, r])).toBe(
      `patches p and r both override ${name}; one must say \`after\``,
    );
    expect(typeof stackPatches([p, { ...r, after: ['p'] }])).toBe('object');
  });
  test('every patch says its versions in a form that can be read', () => {
    for (const p of PATCHES) expect([p.name, isRange(p.versions)]).toEqual([p.name, true]);
    for (const u of UNLIKE) expect([u.what, isRange(u.versions)]).toEqual([u.what, true]);
  });
});

describe('names', () => {
  const known = '6.18, 6.15, 6.12, 6.8, 6.6, 6.1, 5.15, 5.10, 5.7';
  test.each([
    ['5.4', `unknown profile 5.4: there are ${known}`],
    ['6.18/vax', 'unknown architecture vax in profile 6.18/vax: there are x86-64, arm64, riscv64'],
    ['6.18/x86-64/1', `unknown profile 6.18/x86-64/1: there are ${known}`],
    ['', `unknown profile : there are ${known}`],
  ])('%s is refused in one line', (text, expected) => {
    expect(parseProfile(text)).toBe(expected);
  });
  test('x86-64 need not be said', () => {
    expect(parseProfile('6.18/x86-64')).toBe(DEFAULT_PROFILE);
    expect(parseProfile('6.1/riscv64')).toMatchObject({ name: '6.1/riscv64', version: '6.1' });
  });
  test('a list, all of them, or all of an architecture', () => {
    expect(parseProfiles('all')).toEqual(PROFILES);
    expect(parseProfiles('all/riscv64')).toHaveLength(VERSIONS.length);
    expect(parseProfiles('6.1, 6.18, 6.1')).toEqual([parseProfile('6.1'), DEFAULT_PROFILE]);
    expect(parseProfiles('6.1,nope')).toContain('unknown profile nope');
    expect(parseProfiles('all/vax')).toContain('there are x86-64, arm64, riscv64');
  });
});

describe('the handshake', () => {
  // Feature bits: what UFFDIO_API(2const), ioctl_userfaultfd(2) and userfaultfd(2) date; 6.18 on x86-64 is measured.
  // Architectures: their Kconfig (HAVE_ARCH_USERFAULTFD_WP: bits 0, 12, 13, 15; _MINOR: bits 9, 10).
  // ioctls: of a MISSING registration, before WRITEPROTECT and CONTINUE, which go with their modes.
  test.each([
    ['6.18', 0x1ffff, 0x13c],
    ['6.15', 0x1ffff, 0x13c],
    ['6.12', 0x1ffff, 0x13c],
    ['6.8', 0x1ffff, 0x13c],
    ['6.6', 0x7fff, 0x11c],
    ['6.1', 0x1fff, 0x1c],
    ['5.15', 0x7ff, 0x1c],
    ['5.10', 0x1ff, 0x1c],
    ['5.7', 0x1ff, 0x1c],
    ['6.18/arm64', 0x1ffff, 0x13c],
    ['6.12/arm64', 0x1ffff, 0x13c],
    ['6.8/arm64', 0x14ffe, 0x13c],
    ['5.15/arm64', 0x7fe, 0x1c],
    ['5.7/arm64', 0x1ff, 0x1c],
    ['6.18/riscv64', 0x14ffe, 0x13c],
    ['6.6/riscv64', 0x4ffe, 0x11c],
    ['6.1/riscv64', 0x9fe, 0x1c],
    ['5.15/riscv64', 0x1fe, 0x1c],
    ['5.10/riscv64', 0x1ff, 0x1c],
  ])('of %s offers %i', (name, features, ioctls) => {
    const kit = new Kit(patchesOf(name));
    kit.map(0, 1);
    const asked = kit.uffd();
    const fd = kit.alone(sysUserfaultfd(kit.task, [O_NONBLOCK]));
    const { result, out } = kit.ioctl(fd, 'API', { api: 0xaa, features: 0 });
    expect([result, out['features']]).toEqual([0, features]);
    const registered = kit.ioctl(asked, 'REGISTER', { ...kit.range(0, 1), mode: 1 });
    expect([registered.result, registered.out['ioctls']]).toEqual([0, ioctls]);
  });
  test.each([
    ['5.7', 7],
    // 22e5fe2a2a27 is in 5.10.67.
    ['5.10', 0],
    ['5.15', 0],
    ['6.18', 0],
  ])('a second one of %s fails and leaves %i in the struct', (name, left) => {
    const kit = new Kit(patchesOf(name));
    const { result, out } = kit.ioctl(kit.uffd(), 'API', { api: 0xaa, features: 0, ioctls: 7 });
    expect([result, out['ioctls']]).toEqual(['EINVAL', left]);
  });
  // 1723f04caacb: 6.10, and 6.6.41.
  test.each([
    ['6.8', 'EINVAL'],
    ['6.8/riscv64', 0],
    ['6.8/arm64', 0],
    ['6.6/riscv64', 'EINVAL'],
    ['6.12/riscv64', 'EINVAL'],
  ])('of %s answers %s to a feature that only other architectures have', (name, expected) => {
    const kit = new Kit(patchesOf(name));
    const fd = kit.alone(sysUserfaultfd(kit.task, [O_NONBLOCK]));
    // x86-64 has every feature there is: there it is one that no kernel has.
    const features = name.includes('/') ? 1 << 13 : 1 << 20;
    expect(kit.ioctl(fd, 'API', { api: 0xaa, features }).result).toBe(expected);
  });
});

describe('what user space meets', () => {
  test.each([
    ['5.7', 'EINVAL', 'EINVAL', 0],
    ['5.10', 'EINVAL', 'EINVAL', 0],
    ['5.15', 1, 0, 'EPERM'],
    ['6.18', 1, 0, 'EPERM'],
  ])(
    '%s: UFFD_USER_MODE_ONLY %s, MADV_POPULATE_WRITE %s, a userfaultfd of anybody %s',
    (name, userModeOnly, populate, anybody) => {
      const kit = new Kit(patchesOf(name));
      kit.map(0, 1);
      const create = (flags: number): number | string => {
        const fd = kit.alone(sysUserfaultfd(kit.task, [flags]));
        return fd < 0 ? answer(fd) : Math.sign(fd);
      };
      kit.uffd();
      expect(create(1)).toBe(userModeOnly);
      expect(answer(kit.advise(0, 1, 23))).toBe(populate);
      kit.task.uid = 1000;
      const got = create(0);
      expect(got === 1 ? 0 : got).toBe(anybody);
    },
  );
  test.each([
    ['5.7', 'aa:0:800000000000005f'],
    ['5.10', 'aa:80000000:800000000000005f'],
    ['5.15', 'aa:80000000:80000000000000df'],
    ['6.6', 'aa:80000000:80000000000001df'],
    ['6.18', 'aa:80000000:80000000000001ff'],
  ])('fdinfo of %s says %s', (name, expected) => {
    const kit = new Kit(patchesOf(name));
    const file = kit.task.files.get(kit.uffd());
    expect(file?.ops.fdinfo?.(file)).toContain(`API:\t${expected}\n`);
  });
  test.each([
    ['6.18', 1, 3, 0x17c],
    ['6.1', 1, 3, 0x5c],
    ['6.8/arm64', 'EINVAL', 2, 0],
    ['6.12/arm64', 1, 2, 0x17c],
    ['5.15/riscv64', 'EINVAL', 2, 0],
    ['5.10/riscv64', 1, 2, 0x5c],
    ['5.10', 'EINVAL', 4, 0],
  ])('registration of %s: %s for mode %i', (name, expected, mode, ioctls) => {
    const kit = new Kit(patchesOf(name));
    kit.map(0, 1);
    const { result, out } = kit.ioctl(kit.uffd(), 'REGISTER', { ...kit.range(0, 1), mode });
    expect([result === 0 ? 1 : result, out['ioctls']]).toEqual([expected, ioctls]);
  });
  test('5.10/riscv64 protects a page, and forgets it', () => {
    const kit = new Kit(patchesOf('5.10/riscv64'));
    kit.map(0, 1);
    kit.store(0, 1);
    const fd = kit.uffd();
    kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 1), mode: 2 });
    expect(kit.ioctl(fd, 'WRITEPROTECT', { ...kit.range(0, 1), mode: 1 }).result).toBe(0);
    expect(kit.slot(0)).not.toContain('wp');
    kit.store(0, 2);
    expect(kit.load(0)).toBe(2);
    expect(kit.census()).toBeNull();
  });
});

describe('facts', () => {
  test('agree with the patches that take them away', () => {
    for (const fact of FACTS) {
      if (fact.patch === null) continue;
      const found = PATCHES.find((p) => p.name === fact.patch);
      expect([fact.name, found?.versions]).toEqual([fact.name, `<${fact.since.version}`]);
    }
  });
  test('every feature that a version lacks is lacked by a patch, or is not modelled', () => {
    for (const fact of FACTS) {
      const { version } = fact.since;
      const always = version !== null && VERSIONS.every((v) => !inRange(v, `<${version}`));
      expect([fact.name, always || fact.patch !== null || fact.gap !== '']).toEqual([
        fact.name,
        true,
      ]);
    }
  });
  test('a cell says whether there is something and how that is known', () => {
    const wp = FACTS.find((f) => f.name === 'feature WP_UNPOPULATED');
    if (wp === undefined) throw new Error('no row');
    expect(cellOf(wp, '6.18', 'x86-64')).toBe('+m');
    expect(cellOf(wp, '6.6', 'x86-64')).toBe('+d');
    expect(cellOf(wp, '6.1', 'x86-64')).toBe('-d');
    expect(cellOf(wp, '6.18', 'riscv64')).toBe('-r');
    expect(cellOf(wp, '6.8', 'arm64')).toBe('-k');
  });
  test('the list says all of it', () => {
    const text = listProfiles();
    for (const fact of FACTS) expect(text).toContain(fact.name);
    for (const profile of PROFILES) expect(text).toContain(`  ${profile.title}: `);
    expect(text).toContain('6.1 (partial)');
    expect(text).toContain('  6.18: none');
  });
});
