import { describe, expect, test } from 'vitest';
import { A, ioctlAs, Kit, P, readMessages } from '../../../test/kernel/kit.ts';
import { type Build, FIRST, outcomes } from '../../../test/kernel/scene.ts';
import { getPte } from '../../machine/tables.ts';
import { pause } from '../../sched/access.ts';
import type { Steps } from '../../sched/op.ts';
import { MADV_DONTNEED } from '../../uapi/mman.ts';
import { forkTask } from '../core/create.ts';
import { SCRATCH_BASE, type Task } from '../core/task.ts';
import { doMadvise } from '../mm/madvise.ts';
import { doMunmap } from '../mm/munmap.ts';
import { pteSlot } from '../mm/pgtable.ts';
import { userLoad } from '../mm/user-access.ts';
import { patchByName } from '../patches/table.ts';
import { closeFd } from './file.ts';

describe('events', () => {
  test('DONTNEED waits until its REMOVE event is read, and fills get EAGAIN meanwhile', () => {
    const kit = new Kit();
    kit.map(0, 4);
    kit.store(1, 7);
    const fd = kit.uffd(1 << 3);
    kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 4), mode: 1 });
    kit.thread('balloon', function* (task): Steps<void> {
      yield* doMadvise(task.mmOrDie, A + P, P, MADV_DONTNEED);
    });
    expect(kit.world.sched.execute(FIRST, 1000)).toBe('stuck');
    expect(kit.slot(1)).toBe('present write dirty young');
    expect(kit.ioctl(fd, 'ZEROPAGE', kit.range(0, 1)).result).toBe('EAGAIN');
    expect(kit.alone(readMessages(kit.task, fd))).toEqual([
      { event: 'remove', start: A + P, end: A + 2 * P },
    ]);
    expect(kit.world.sched.execute(FIRST, 1000)).toBe('done');
    expect(kit.slot(1)).toBe('none');
    expect(kit.ioctl(fd, 'ZEROPAGE', kit.range(0, 1)).result).toBe(0);
    expect(kit.ctx(fd).mmapChanging).toBe(0);
  });

  test('munmap has unmapped before its UNMAP event waits; pending faults are read before events', () => {
    const kit = new Kit();
    kit.map(0, 4);
    const fd = kit.uffd(1 << 6);
    kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 4), mode: 1 });
    kit.thread('unmapper', function* (task): Steps<void> {
      yield* doMunmap(task.mmOrDie, A, 2 * P);
    });
    kit.thread('toucher', function* (task): Steps<void> {
      yield* userLoad(task, A + 3 * P, 1);
    });
    expect(kit.world.sched.execute(FIRST, 1000)).toBe('stuck');
    expect(kit.maps()).toEqual(['2-4 missing']);
    expect(kit.alone(readMessages(kit.task, fd, 4))).toEqual([
      { event: 'pagefault', flags: 0, address: A + 3 * P, ptid: 0 },
      { event: 'unmap', start: A, end: A + 2 * P },
    ]);
  });

  test('close lets event waiters go', () => {
    const kit = new Kit();
    kit.map(0, 4);
    const fd = kit.uffd(1 << 3);
    kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 4), mode: 1 });
    kit.thread('balloon', function* (task): Steps<void> {
      yield* doMadvise(task.mmOrDie, A, P, MADV_DONTNEED);
    });
    expect(kit.world.sched.execute(FIRST, 1000)).toBe('stuck');
    expect(kit.alone(closeFd(kit.task, fd))).toBe(0);
    expect(kit.world.sched.execute(FIRST, 1000)).toBe('done');
    expect(kit.maps()).toEqual(['0-4']);
  });

  test('no page is filled in while an event waits, unless the counter is raised unlocked', () => {
    const build: Build = ({ kit, fd, log }) => {
      const ctx = kit.ctx(fd);
      const filled = (task: Task): boolean => {
        const slot = pteSlot(task.mmOrDie, A);
        return slot >= 0 && getPte(slot) !== 0;
      };
      kit.thread('balloon', function* (task): Steps<void> {
        yield* doMadvise(task.mmOrDie, A, P, MADV_DONTNEED);
      });
      kit.thread('filler', function* (task): Steps<void> {
        const copy = { dst: A, src: SCRATCH_BASE + 1024, len: P };
        log['copy'] = (yield* ioctlAs(task, fd, 'COPY', copy)).result;
      });
      kit.thread(
        'monitor',
        function* (task): Steps<void> {
          yield* readMessages(task, fd);
          const filledWhenRead = filled(task);
          yield* pause('look again');
          if (!filledWhenRead && filled(task) && ctx.isMmapChanging()) log['late'] = true;
        },
        true,
      );
    };
    const today = outcomes(1 << 3, 1, build);
    expect([...today.all.keys()].filter((k) => k.includes('late'))).toEqual([]);
    expect([...today.all.keys()].some((k) => k.includes('EAGAIN'))).toBe(true);
    expect(today.exhausted).toBe(true);
    const unlocked = patchByName('mmap-changing-unlocked');
    const before = outcomes(1 << 3, 1, build, unlocked === null ? [] : [unlocked]);
    expect([...before.all.keys()].some((k) => k.includes('late'))).toBe(true);
  });
});

describe('fork', () => {
  test('with EVENT_FORK waits for the reader, who gets a descriptor of the child', () => {
    const kit = new Kit();
    kit.map(0, 4);
    const fd = kit.uffd(1 << 1);
    kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 4), mode: 1 });
    const children: Task[] = [];
    kit.thread('forker', function* (task): Steps<void> {
      const child = yield* forkTask(task, { name: 'child', hart: 3, owner: 3 });
      if (typeof child !== 'number') children.push(child);
    });
    expect(kit.world.sched.execute(FIRST, 1000)).toBe('stuck');
    expect(children).toEqual([]);
    expect(kit.ioctl(fd, 'ZEROPAGE', kit.range(0, 1)).result).toBe('EAGAIN');
    const messages = kit.alone(readMessages(kit.task, fd));
    const [message] = typeof messages === 'string' ? [] : messages;
    if (message?.event !== 'fork') throw new Error(`no fork message: ${JSON.stringify(message)}`);
    expect(kit.world.sched.execute(FIRST, 1000)).toBe('done');
    const [child] = children;
    expect([...(child?.mmOrDie.vmas ?? [])].map((v) => v.uffd)).toEqual([kit.ctx(message.ufd)]);
    // The new descriptor fills the child, the old one the parent.
    expect(kit.ioctl(message.ufd, 'ZEROPAGE', kit.range(0, 1)).result).toBe(0);
    expect(kit.slot(0)).toBe('none');
    expect(kit.census()).toBeNull();
  });

  test('without EVENT_FORK the child is not registered', () => {
    const kit = new Kit();
    kit.map(0, 4);
    const fd = kit.uffd();
    kit.ioctl(fd, 'REGISTER', { ...kit.range(0, 4), mode: 3 });
    const child = kit.alone(forkTask(kit.task, { name: 'child', hart: 3, owner: 3 }));
    if (typeof child === 'number') throw new Error(`fork: ${child}`);
    const [vma] = child.mmOrDie.vmas;
    expect([vma?.uffd, (vma?.flags ?? 0) & 0x1200]).toEqual([null, 0]);
    expect(kit.maps()).toEqual(['0-4 missing wp']);
  });
});
