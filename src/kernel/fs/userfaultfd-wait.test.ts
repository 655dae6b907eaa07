import { describe, expect, test } from 'vitest';
import { A, ioctlAs, Kit, P, readMessages } from '../../../test/kernel/kit.ts';
import {
  type Build,
  FIRST,
  type Log,
  load,
  outcomes,
  type Scene,
  serve,
} from '../../../test/kernel/scene.ts';
import type { Steps } from '../../sched/op.ts';
import { O_NONBLOCK } from '../../uapi/fcntl.ts';
import { SCRATCH_BASE, type Task } from '../core/task.ts';
import { faultAddress, USER_READ } from '../mm/fault.ts';
import { doMunmap } from '../mm/munmap.ts';
import { copyFromUser, userLoad, userStore } from '../mm/user-access.ts';
import { mutationPatches } from '../patches/table.ts';
import { sysRead } from '../syscall/read.ts';
import { closeFd, POLLERR, POLLIN } from './file.ts';

describe('a blocked fault', () => {
  const build: Build = ({ kit, fd, log }) => {
    kit.thread('toucher', (task) => load(task, log, 'r'));
    kit.thread('handler', (task) => serve(task, fd, log), true);
  };

  test('is resolved by COPY under every schedule', () => {
    const { all, exhausted } = outcomes(0, 1, build);
    expect(exhausted).toBe(true);
    expect([...all.keys()].every((k) => k.includes('"r":42'))).toBe(true);
  });

  test('first touch against an unasked COPY: never a hang, always the data', () => {
    const race: Build = ({ kit, fd, log }) => {
      kit.thread('toucher', (task) => load(task, log, 'r'));
      kit.thread('filler', function* (task): Steps<void> {
        task.scratch?.fill(42, 1024);
        const copy = { dst: A, src: SCRATCH_BASE + 1024, len: P };
        log['copy'] = (yield* ioctlAs(task, fd, 'COPY', copy)).result;
      });
    };
    const { all, exhausted } = outcomes(0, 1, race);
    expect(exhausted).toBe(true);
    expect([...all.keys()].map((k) => Object.entries(JSON.parse(k)).sort())).toEqual(
      [...all.keys()].map(() => [
        ['copy', 0],
        ['r', 42],
      ]),
    );
    // Without the look before it sleeps, the toucher can miss the wake-up.
    const without = mutationPatches().filter((p) => p.name === 'without-userfaultfd.mustWait');
    expect(without.length).toBe(1);
    expect([...outcomes(0, 1, race, without).all.keys()]).toContain('stuck');
  });

  test('goes on as an ordinary fault when the descriptor is closed', () => {
    const { all, exhausted } = outcomes(0, 1, ({ kit, fd, log }) => {
      kit.thread('toucher', (task) => load(task, log, 'r'));
      kit.thread('closer', function* (task): Steps<void> {
        log['close'] = yield* closeFd(task, fd);
      });
    });
    expect(exhausted).toBe(true);
    expect([...all.keys()].every((k) => k.includes('"r":0') && k.includes('"close":0'))).toBe(true);
  });

  test('two threads on one page: two messages, one COPY wakes both', () => {
    const kit = new Kit();
    kit.map(0, 1);
    const fd = kit.uffd(0, 0);
    kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 1), mode: 1 });
    const log: Log = {};
    kit.thread('a', (task) => load(task, log, 'a'));
    kit.thread('b', (task) => load(task, log, 'b'));
    expect(kit.world.sched.execute(FIRST, 1000)).toBe('stuck');
    const messages = kit.alone(readMessages(kit.task, fd, 8));
    expect(messages).toEqual([
      { event: 'pagefault', flags: 0, address: A, ptid: 0 },
      { event: 'pagefault', flags: 0, address: A, ptid: 0 },
    ]);
    // Waking without resolving: both fault again.
    kit.ioctl(fd, 'WAKE', kit.range(0, 1));
    expect(kit.world.sched.execute(FIRST, 1000)).toBe('stuck');
    expect(kit.ctx(fd).pendingFaults.length).toBe(2);
    kit.ioctl(fd, 'COPY', { dst: A, src: SCRATCH_BASE + 1024, len: P });
    expect(kit.ctx(fd).pendingFaults.length).toBe(0);
    expect(kit.world.sched.execute(FIRST, 1000)).toBe('done');
    expect(log).toEqual({ a: 0, b: 0 });
    expect(kit.census()).toBeNull();
  });
});

describe('messages', () => {
  test.each([
    ['read', 0, 0, false, { flags: 0, address: A + P, ptid: 0 }],
    ['write', 0, 0, true, { flags: 1, address: A + P, ptid: 0 }],
    ['exact address', 1 << 11, 8, false, { flags: 0, address: A + P + 8, ptid: 0 }],
    ['masked address', 0, 8, false, { flags: 0, address: A + P, ptid: 0 }],
    ['thread id', 1 << 8, 0, true, { flags: 1, address: A + P, ptid: 2 }],
  ])('of a missing fault: %s', (_name, features, offset, write, expected) => {
    const kit = new Kit();
    kit.map(0, 4);
    const fd = kit.uffd(features);
    kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 4), mode: 1 });
    kit.thread('toucher', function* (task): Steps<void> {
      if (write) yield* userStore(task, A + P + offset, 1, 1);
      else yield* userLoad(task, A + P + offset, 1);
    });
    expect(kit.world.sched.execute(FIRST, 1000)).toBe('stuck');
    expect(kit.alone(readMessages(kit.task, fd))).toEqual([{ event: 'pagefault', ...expected }]);
    expect(kit.alone(readMessages(kit.task, fd))).toBe('EAGAIN');
  });

  test('a write to a protected page says WRITE and WP', () => {
    const kit = new Kit();
    kit.map(0, 1);
    kit.store(0, 1);
    const fd = kit.uffd();
    kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 1), mode: 2 });
    kit.ioctl(fd, 'WRITEPROTECT', { ...kit.range(0, 1), mode: 1 });
    kit.thread('writer', function* (task): Steps<void> {
      yield* userStore(task, A, 1, 2);
    });
    expect(kit.world.sched.execute(FIRST, 1000)).toBe('stuck');
    expect(kit.alone(readMessages(kit.task, fd))).toEqual([
      { event: 'pagefault', flags: 3, address: A, ptid: 0 },
    ]);
    kit.ioctl(fd, 'WRITEPROTECT', { ...kit.range(0, 1), mode: 0 });
    expect(kit.world.sched.execute(FIRST, 1000)).toBe('done');
    expect(kit.load(0)).toBe(2);
  });

  test('read wants room for a whole message; poll wants a descriptor that does not block', () => {
    const kit = new Kit();
    kit.map(0, 1);
    const fd = kit.uffd(0, 0);
    expect(kit.alone(sysRead(kit.task, [fd, SCRATCH_BASE, 31]))).toBe(-22);
    const file = kit.task.files.get(fd);
    const poll = (): number | undefined => (file === null ? -1 : file.ops.poll?.(file));
    expect(poll()).toBe(POLLERR);
    if (file !== null) file.flags |= O_NONBLOCK;
    expect(poll()).toBe(0);
    kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 1), mode: 1 });
    kit.thread('toucher', (task) => load(task, {}, 'r'));
    kit.world.sched.execute(FIRST, 1000);
    expect(poll()).toBe(POLLIN);
    kit.alone(readMessages(kit.task, fd));
    expect(poll()).toBe(0);
    const info = file?.ops.fdinfo?.(file) ?? '';
    expect(info.startsWith('pending:\t0\ntotal:\t1\n')).toBe(true);
  });

  test('SIGBUS: nothing is queued', () => {
    const kit = new Kit();
    kit.map(0, 1);
    const fd = kit.uffd(1 << 7);
    kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 1), mode: 1 });
    expect(kit.load(0)).toMatchObject({ signal: 'BUS', code: 2 });
    expect(kit.ctx(fd).pendingFaults).toEqual([]);
  });
});

describe('who may wait', () => {
  function blocked(
    flags: number,
    body: (task: Task, log: Log) => Steps<void>,
  ): Scene & {
    readonly task: Task;
  } {
    const kit = new Kit();
    kit.map(0, 4);
    const fd = kit.uffd(0, flags);
    kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 4), mode: 1 });
    const log: Log = {};
    const task = kit.thread('toucher', (t) => body(t, log));
    return { kit, fd, log, task };
  }

  test('a signal takes a user fault off its queue: the handler runs before the access is tried again', () => {
    const { kit, fd, task, log } = blocked(O_NONBLOCK, function* (t, l): Steps<void> {
      l['fault'] = yield* faultAddress(t, A, USER_READ);
    });
    expect(kit.world.sched.execute(FIRST, 1000)).toBe('stuck');
    expect(kit.ctx(fd).pendingFaults.length).toBe(1);
    if (task.thread !== null) task.thread.signal = 'pending';
    expect(kit.world.sched.execute(FIRST, 1000)).toBe('done');
    expect([log['fault'], kit.ctx(fd).pendingFaults]).toEqual([null, []]);
  });

  test('copy_from_user waits like a user fault', () => {
    const { kit, fd, log } = blocked(O_NONBLOCK, function* (task, l): Steps<void> {
      l['got'] = yield* copyFromUser(task, A, 4);
    });
    expect(kit.world.sched.execute(FIRST, 1000)).toBe('stuck');
    kit.ioctl(fd, 'ZEROPAGE', kit.range(0, 1));
    expect(kit.world.sched.execute(FIRST, 1000)).toBe('done');
    expect(log['got']).toEqual(new Uint8Array(4));
  });

  test('with UFFD_USER_MODE_ONLY it does not: EFAULT and no message', () => {
    const { kit, fd, log } = blocked(O_NONBLOCK | 1, function* (task, l): Steps<void> {
      l['got'] = yield* copyFromUser(task, A, 4);
    });
    expect(kit.world.sched.execute(FIRST, 1000)).toBe('done');
    expect([log['got'], kit.ctx(fd).pendingFaults]).toEqual([-14, []]);
  });
});

describe('COPY whose source has to be faulted in', () => {
  const SOURCE = A + 8 * P;

  test('drops its locks for that, and brings the data', () => {
    const kit = new Kit();
    kit.map(0, 2);
    kit.map(8, 2);
    kit.store(9, 7);
    const fd = kit.uffd();
    kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 2), mode: 1 });
    expect(kit.slot(8)).toBe('none');
    expect(kit.ioctl(fd, 'COPY', { dst: A, src: SOURCE, len: 2 * P })).toMatchObject({ result: 0 });
    expect([kit.load(0), kit.load(1), kit.slot(8)]).toEqual([0, 7, 'present young special']);
    expect(kit.census()).toBeNull();
  });

  test('looks at its destination again: a page that was unmapped meanwhile gets nothing', () => {
    const build: Build = ({ kit, fd, log }) => {
      kit.map(1, 1);
      kit.map(8, 2);
      kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 2), mode: 1 });
      kit.thread('filler', function* (task): Steps<void> {
        const copy = { dst: A, src: SOURCE, len: 2 * P };
        const { result, out } = yield* ioctlAs(task, fd, 'COPY', copy);
        log['copy'] = `${result} ${out['copy']}`;
      });
      kit.thread('unmapper', function* (task): Steps<void> {
        yield* doMunmap(task.mmOrDie, A + P, P);
      });
    };
    const today = outcomes(0, 1, build);
    expect(today.exhausted).toBe(true);
    expect([...today.all.keys()].sort()).toEqual([
      '{"copy":"0 8192"}',
      '{"copy":"EAGAIN 4096"}',
      '{"copy":"ENOENT -2"}',
    ]);
    const without = mutationPatches().filter((p) => p.name === 'without-mfill.dstStillValid');
    const before = outcomes(0, 1, build, without);
    const extra = [...before.all.keys()].filter((k) => !today.all.has(k));
    expect(extra.length).toBeGreaterThan(0);
  });
});

test('two COPYs of one page: one wins, and without the look under the lock a page is lost', () => {
  const build: Build = ({ kit, fd, log }) => {
    for (const name of ['a', 'b']) {
      kit.thread(name, function* (task): Steps<void> {
        const copy = { dst: A, src: SCRATCH_BASE + 1024, len: P };
        log[name] = (yield* ioctlAs(task, fd, 'COPY', copy)).result;
      });
    }
  };
  const today = outcomes(0, 1, build);
  expect(today.exhausted).toBe(true);
  expect([...today.all.keys()].every((k) => k.includes('EEXIST') && k.includes(':0'))).toBe(true);
  const without = mutationPatches().filter((p) => p.name === 'without-mfill.slotFree');
  expect([...outcomes(0, 1, build, without).all.keys()].every((k) => k.includes('EEXIST'))).toBe(
    false,
  );
});
