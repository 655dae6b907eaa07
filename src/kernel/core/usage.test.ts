// What getrusage(2) counts as a fault.
import { expect, test } from 'vitest';
import { KernelWorld } from '../../../test/kernel-world.ts';
import { groupUsage, threadUsage } from './usage.ts';

test('each page touched is a minor fault and resident memory; a page that is there, and one that must not be, is none', () => {
  const k = new KernelWorld();
  const a = k.map(3);
  const before = threadUsage(k.task);
  for (const page of [0, 1, 1]) expect(k.store(a + page * 4096, 1)).toBe('ok');
  k.load(a + 3 * 4096);
  const { minFlt, majFlt, maxRss } = threadUsage(k.task);
  expect([minFlt - before.minFlt, majFlt, maxRss]).toEqual([2, 0, 2]);
  expect(groupUsage(k.task.group).minFlt).toBe(minFlt);
});
