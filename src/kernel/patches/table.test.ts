import { describe, expect, test } from 'vitest';
import { Kit } from '../../../test/kernel/kit.ts';
import { ERRNO_ROWS, errnoRowText, explain, explainedCalls, knownCall } from '../explain.ts';
import { UFFD_IOCTLS } from '../fs/userfaultfd-ioctl.ts';
import { seams, stackPatches } from '../seam.ts';
import { NEVER_FAILS } from '../syscall/errnos.ts';
import { SYSCALLS } from '../syscall/table.ts';
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
    const orders = rows.map((r) => r.order);
    expect(orders).toHaveLength(4);
    expect(orders[0]).toBe(1);
    expect(orders).toEqual([...new Set(orders)].sort((a, b) => a - b));
    expect(errnoRowText(rows[0] ?? ERRNO_ROWS[0] ?? fail())).toMatch(/^UFFDIO_COPY 1 EAGAIN: /);
  });
  test('every call has rows, shares those of another, or never fails', () => {
    const without = [...SYSCALLS, ...UFFD_IOCTLS.filter((row) => row.handler !== null)]
      .map((row) => row.name)
      .filter((name) => knownCall(name) === null);
    expect(without).toEqual([]);
    for (const name of NEVER_FAILS) expect(ERRNO_ROWS.some((r) => r.call === name)).toBe(false);
  });
  test('calls that share their checks, and calls that there are not', () => {
    expect(knownCall('MUNLOCK')).toBe('mlock');
    expect(explain(1, 'mlock2')).toEqual(explain(1, 'mlock'));
    expect(knownCall('uffdio_register')).toBe('UFFDIO_REGISTER');
    expect(knownCall('frobnicate')).toBeNull();
    expect(explain(22, 'frobnicate')).toEqual([]);
    expect(explainedCalls()).toContain('mlock2');
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
