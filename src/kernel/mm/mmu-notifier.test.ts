// The contract with those who map an address space too: whoever changes present entries says so before and after.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KernelWorld } from '../../../test/kernel-world.ts';
import type { Steps } from '../../sched/op.ts';
import { EAGAIN } from '../../uapi/errno.ts';
import {
  MADV_DONTNEED,
  MADV_FREE,
  MADV_PAGEOUT,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_READ,
} from '../../uapi/mman.ts';
import { clearRefs } from '../fs/proc/clear-refs.ts';
import { doMadvise } from './madvise.ts';
import {
  type MmuNotifier,
  type MmuNotifierRange,
  mmuNotifierInvalidateRangeEnd,
  mmuNotifierInvalidateRangeStart,
  mmuNotifierInvalidateRangeStartNonblock,
  mmuNotifierRegister,
  mmuNotifierUnregister,
} from './mmu-notifier.ts';
import { doMprotect } from './mprotect.ts';
import { doMremap, type MremapRequest } from './mremap.ts';
import { doMunmap } from './munmap.ts';
import { oomReapTaskMm } from './oom-kill.ts';

const P = 4096;

/** Writes down what it is told. */
class Listener implements MmuNotifier {
  readonly heard: string[] = [];
  readonly base: number;
  refuses = false;

  constructor(base: number) {
    this.base = base;
  }
  *invalidateRangeStart(range: MmuNotifierRange): Steps<number> {
    if (this.refuses && !range.blockable) return -EAGAIN;
    this.heard.push(`start ${this.#show(range)}`);
    return 0;
  }
  *invalidateRangeEnd(range: MmuNotifierRange): Steps<void> {
    this.heard.push(`end ${this.#show(range)}`);
  }
  *release(): Steps<void> {
    this.heard.push('release');
  }
  translations(): [] {
    return [];
  }
  #show({ start, end, event }: MmuNotifierRange): string {
    return `${event} ${(start - this.base) / P}-${(end - this.base) / P}`;
  }
}

let k: KernelWorld;
let a: number;
let listener: Listener;
beforeEach(() => {
  k = new KernelWorld({ swapPages: 8 });
  a = k.map(4);
  for (let page = 0; page < 4; page++) k.store(a + page * P, page + 1);
  listener = new Listener(a);
  k.run(mmuNotifierRegister(k.task.mmOrDie, listener));
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

const mm = () => k.task.mmOrDie;
const advise = (pages: number, advice: number): number =>
  k.run(doMadvise(mm(), a, pages * P, advice));

describe('a listener hears, before and after, of', () => {
  const move = (): MremapRequest => ({
    address: a,
    oldLength: 4 * P,
    newLength: 4 * P,
    flags: MREMAP_MAYMOVE | MREMAP_FIXED,
    newAddress: a + 0x40000,
  });
  const changes: readonly (readonly [string, string, () => unknown])[] = [
    ['munmap', 'unmap 1-3', () => k.run(doMunmap(mm(), a + P, 2 * P))],
    ['MADV_DONTNEED', 'unmap 0-2', () => advise(2, MADV_DONTNEED)],
    ['MADV_FREE', 'clear 0-2', () => advise(2, MADV_FREE)],
    ['mprotect', 'protection-vma 0-1', () => k.run(doMprotect(mm(), a, P, PROT_READ))],
    ['mremap', 'unmap 0-4', () => k.run(doMremap(mm(), move()))],
    ['fork', 'protection-page 0-4', () => k.exit(k.fork())],
  ];
  test.each(changes)('%s: %s', (_name, what, change) => {
    change();
    expect(listener.heard.slice(0, 2)).toEqual([`start ${what}`, `end ${what}`]);
  });

  test('the copy that a write makes of a shared page', () => {
    const child = k.fork();
    listener.heard.length = 0;
    k.store(a + P, 9);
    expect(listener.heard).toEqual(['start clear 1-2', 'end clear 1-2']);
    k.exit(child);
  });

  test('reclaim, page by page', () => {
    advise(2, MADV_PAGEOUT);
    expect(listener.heard.filter((h) => h.startsWith('start'))).toContain('start clear 1-2');
    expect(k.slot(a)).toBe('swap');
  });

  test('clear_refs, of everything', () => {
    k.run(clearRefs(mm(), 4));
    expect(listener.heard.map((h) => h.split(' ')[1])).toEqual(['soft-dirty', 'soft-dirty']);
  });

  test('but not of what gives rights or finds nothing', () => {
    k.load(a);
    const b = k.map(1);
    k.store(b, 1);
    expect(listener.heard).toEqual([]);
  });
});

describe('start', () => {
  test('that may not wait is refused by a listener that would have to; those before it are told the end', () => {
    const second = new Listener(a);
    second.refuses = true;
    k.run(mmuNotifierRegister(mm(), second));
    const refused = k.run(mmuNotifierInvalidateRangeStartNonblock(mm(), 'unmap', a, a + P));
    expect(refused).toBe(-EAGAIN);
    expect(listener.heard).toEqual(['start unmap 0-1', 'end unmap 0-1']);
    expect(second.heard).toEqual([]);
    second.refuses = false;
    const range = k.run(mmuNotifierInvalidateRangeStartNonblock(mm(), 'unmap', a, a + P));
    if (typeof range !== 'number') k.run(mmuNotifierInvalidateRangeEnd(range));
    expect(second.heard).toEqual(['start unmap 0-1', 'end unmap 0-1']);
  });

  test('has exactly one end', () => {
    const range = k.run(mmuNotifierInvalidateRangeStart(mm(), 'clear', a, a + P));
    k.run(mmuNotifierInvalidateRangeEnd(range));
    expect(() => k.run(mmuNotifierInvalidateRangeEnd(range))).toThrow('was not begun');
  });

  test('costs no step and says nothing when nobody listens', () => {
    k.run(mmuNotifierUnregister(mm(), listener));
    advise(1, MADV_DONTNEED);
    expect(listener.heard).toEqual(['release']);
  });
});

test('the OOM reaper waits for no listener: what one refuses stays, and is tried again', () => {
  const reap = (): boolean => k.run(oomReapTaskMm(mm()));
  listener.refuses = true;
  expect([reap(), k.slot(a)]).toEqual([false, 'present write dirty young']);
  listener.refuses = false;
  expect([reap(), k.slot(a)]).toEqual([true, 'none']);
  expect(listener.heard).toEqual(['start unmap 0-4', 'end unmap 0-4']);
});

test('the end of the address space is a release, and nothing after it', () => {
  k.exit(k.task);
  expect(listener.heard).toEqual(['release']);
});
