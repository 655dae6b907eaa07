// A second MMU: what a guest sees of user memory, and how long.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KernelWorld } from '../../../../test/kernel-world.ts';
import { EAGAIN, EFAULT } from '../../../uapi/errno.ts';
import { MADV_DONTNEED, MADV_GUARD_INSTALL, MADV_PAGEOUT, PROT_READ } from '../../../uapi/mman.ts';
import { doMadvise } from '../../mm/madvise.ts';
import { doMprotect } from '../../mm/mprotect.ts';
import { doMunmap } from '../../mm/munmap.ts';
import { type Kvm, kvmCreateVm, Vcpu } from './kvm.ts';
import { guestLoad, guestStore } from './mmu.ts';
import { GfnToPfnCache, gpcEnterGuest, gpcWrite, kvmGpcRefresh } from './pfncache.ts';

const P = 4096;
let k: KernelWorld;
let a: number;
let vm: Kvm;
let vcpu: Vcpu;
beforeEach(() => {
  k = new KernelWorld({ swapPages: 8 });
  a = k.map(3);
  vm = k.run(kvmCreateVm(0, 'V', k.task.mmOrDie));
  vm.addSlot(a, 2);
  vcpu = new Vcpu(vm, 0);
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
  expect(vm.sptes.size).toBe(0);
});

const load = (gfn: number): number => k.run(guestLoad(vcpu, gfn, 0));
const store = (gfn: number, value: number): number => k.run(guestStore(vcpu, gfn, 0, value));
const advise = (advice: number): number => k.run(doMadvise(k.task.mmOrDie, a, P, advice));

describe('a guest', () => {
  test('shares memory with the program, whoever touches it first', () => {
    expect([store(0, 5), k.load(a)]).toEqual([0, 5]);
    k.store(a + P, 6);
    expect(load(1)).toBe(6);
  });

  test('loses what the program drops, unmaps or sends to swap, and faults it in anew', () => {
    store(0, 5);
    advise(MADV_DONTNEED);
    expect([vm.sptes.has(0), load(0)]).toEqual([false, 0]);
    store(0, 6);
    advise(MADV_PAGEOUT);
    expect([k.slot(a), load(0)]).toEqual(['swap', 6]);
  });

  test('keeps no right to write that the program lost', () => {
    store(0, 5);
    k.run(doMprotect(k.task.mmOrDie, a, P, PROT_READ));
    expect([load(0), store(0, 6), load(0)]).toEqual([5, -EFAULT, 5]);
  });

  test('writes to a page shared with a child after the copy, not before', () => {
    store(0, 5);
    const child = k.fork();
    expect([store(0, 6), k.load(a), k.load(a, child)]).toEqual([0, 6, 5]);
    k.exit(child);
  });

  test('that reaches a guard, a hole or no memory goes back to user space with EFAULT', () => {
    advise(MADV_GUARD_INSTALL);
    k.run(doMunmap(k.task.mmOrDie, a + P, P));
    expect([load(0), load(1), load(2)]).toEqual([-EFAULT, -EFAULT, -EFAULT]);
  });
});

describe('a cached page', () => {
  test('is used while it is valid, by host and guest', () => {
    const gpc = new GfnToPfnCache(vm, 'G', 0);
    expect(k.run(gpcWrite(gpc, 1))).toBe(-EAGAIN);
    expect([k.run(kvmGpcRefresh(gpc)), k.run(gpcWrite(gpc, 1)), load(0)]).toEqual([0, 0, 1]);
    expect([k.run(gpcEnterGuest(vcpu, gpc, 2)), k.load(a)]).toEqual([0, 2]);
    advise(MADV_DONTNEED);
    expect(k.run(gpcEnterGuest(vcpu, gpc, 3))).toBe(-EAGAIN);
    expect([k.run(kvmGpcRefresh(gpc)), k.load(a)]).toEqual([0, 0]);
  });
});
