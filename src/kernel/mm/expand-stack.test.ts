// Stacks that grow to meet an access, each case measured on 6.18.44.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KernelWorld, RW } from '../../../test/kernel-world.ts';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_GROWSDOWN,
  MAP_PRIVATE,
  PROT_NONE,
  PROT_READ,
} from '../../uapi/mman.ts';
import { doMmap } from './mmap.ts';
import { faultInRange } from './populate.ts';
import { copyToUser } from './user-access.ts';

const P = 4096;
/** The stack is one page, here; below it there is room. */
const TOP = 0x4000000;

let k: KernelWorld;
beforeEach(() => {
  k = new KernelWorld();
});
afterEach(() => {
  expect(k.wrong()).toBeNull();
  expect(k.leaked()).toBeNull();
});

function mapAt(address: number, prot: number, extra = 0): number {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | extra;
  return k.run(doMmap(k.task.mmOrDie, { address, length: P, prot, flags }));
}
const bottom = (): number => (TOP - k.vma(TOP).start) / P;

test('an access below it makes the stack grow, over any distance, up to 8 MiB in all', () => {
  mapAt(TOP, RW, MAP_GROWSDOWN);
  expect(k.store(TOP - P, 1)).toBe('ok');
  expect(bottom()).toBe(1);
  expect(k.load(TOP - 100 * P)).toBe(0);
  expect(bottom()).toBe(100);
  expect(k.store(TOP - 2047 * P, 1)).toBe('ok');
  expect(k.store(TOP - 2048 * P, 1)).toBe('SEGV 1');
  expect(bottom()).toBe(2047);
});

test('it keeps 256 pages off an accessible mapping, and none off a PROT_NONE one', () => {
  const low = TOP - 1000 * P;
  mapAt(TOP, RW, MAP_GROWSDOWN);
  mapAt(low, RW);
  expect(k.store(low + P + 256 * P, 1)).toBe('ok');
  expect(k.store(low + P + 255 * P, 1)).toBe('SEGV 1');
  mapAt(low, PROT_NONE);
  expect(k.store(low + P, 1)).toBe('ok');
});

test('an access it then does not allow has grown it all the same', () => {
  mapAt(TOP, PROT_READ, MAP_GROWSDOWN);
  expect(k.store(TOP - P, 1)).toBe('SEGV 2');
  expect(bottom()).toBe(1);
});

test('copies of the kernel grow it, populate does not, other mappings do not grow', () => {
  mapAt(TOP, RW, MAP_GROWSDOWN);
  const mm = k.task.mmOrDie;
  expect(k.run(copyToUser(k.task, TOP - 3 * P, Uint8Array.of(1)))).toBe(0);
  expect(bottom()).toBe(3);
  expect(k.run(faultInRange(mm, TOP - 5 * P, TOP - 4 * P, true))).toBe(-12);
  const plain = k.map(1);
  expect(k.store(plain - P, 1)).toBe('SEGV 1');
});
