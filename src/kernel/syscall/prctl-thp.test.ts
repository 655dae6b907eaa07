// PR_SET_THP_DISABLE and PR_GET_THP_DISABLE: answers measured on 6.18.44.
import { expect, test } from 'vitest';
import { answer, Kit } from '../../../test/kernel/kit.ts';
import { getThpDisable, setThpDisable } from './prctl-thp.ts';

test('what may a process ask for, and what is it told it has?', () => {
  const kit = new Kit();
  const mm = kit.task.mmOrDie;
  const set = (...args: number[]): string | number => answer(kit.alone(setThpDisable(mm, args)));
  const get = (): number => getThpDisable(mm, [0, 0, 0, 0]);
  expect([get(), set(1, 2), get(), set(1, 0), get()]).toEqual([0, 0, 3, 0, 1]);
  expect([set(1, 4), set(1, 1), set(0, 2), set(1, 0, 1)]).toEqual(new Array(4).fill('EINVAL'));
  expect([set(5, 0), get(), set(0, 0), get()]).toEqual([0, 1, 0, 0]);
  expect(answer(getThpDisable(mm, [1]))).toBe('EINVAL');
  expect(kit.census()).toBeNull();
});
