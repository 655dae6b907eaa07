import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LITMUS_GEOMETRY } from '../../machine/geometry.ts';
import { enterWorld } from '../current.ts';
import { World } from '../world.ts';
import { Mm, Vma } from './mm-types.ts';
import { VM_NONE } from './vm-flags.ts';
import type { VmaTree } from './vma-tree.ts';

const P = 4096;
/** Addresses in pages, below this. */
const SPACE = 64;

function freshMm(): Mm {
  enterWorld(new World({ geometry: LITMUS_GEOMETRY, harts: 1, exploring: false, overrides: null }));
  return new Mm(1);
}

function vmaAt(mm: Mm, start: number, end: number): Vma {
  return new Vma(mm, start * P, end * P, VM_NONE, start);
}

/** The same answers from a list that is searched from end to end. */
class NaiveList {
  vmas: Vma[] = [];

  free(start: number, end: number): boolean {
    return this.vmas.every((v) => v.end <= start * P || v.start >= end * P);
  }
  gap(length: number, low: number, high: number): number {
    for (let start = high - length; start >= low; start--) {
      if (this.free(start, start + length)) return start * P;
    }
    return -1;
  }
  sort(): void {
    this.vmas.sort((a, b) => a.start - b.start);
  }
}

type Action =
  | { readonly kind: 'insert'; readonly at: number; readonly length: number }
  | { readonly kind: 'remove'; readonly nth: number }
  | { readonly kind: 'resize'; readonly nth: number; readonly at: number; readonly length: number };

const place = { at: fc.nat(SPACE - 9), length: fc.integer({ min: 1, max: 8 }) };
const action: fc.Arbitrary<Action> = fc.oneof(
  fc.record({ kind: fc.constant('insert' as const), ...place }),
  fc.record({ kind: fc.constant('remove' as const), nth: fc.nat(30) }),
  fc.record({ kind: fc.constant('resize' as const), nth: fc.nat(30), ...place }),
);

function apply(mm: Mm, tree: VmaTree, list: NaiveList, step: Action): void {
  if (step.kind === 'insert') {
    if (!list.free(step.at, step.at + step.length)) return;
    const vma = vmaAt(mm, step.at, step.at + step.length);
    tree.insert(vma);
    list.vmas.push(vma);
    list.sort();
    return;
  }
  const vma = list.vmas[step.nth % Math.max(1, list.vmas.length)];
  if (vma === undefined) return;
  if (step.kind === 'remove') {
    tree.remove(vma);
    list.vmas = list.vmas.filter((v) => v !== vma);
    return;
  }
  const index = list.vmas.indexOf(vma);
  const low = list.vmas[index - 1]?.end ?? 0;
  const high = list.vmas[index + 1]?.start ?? SPACE * P;
  const start = Math.max(low, step.at * P);
  const end = Math.min(high, (step.at + step.length) * P);
  if (start < end) tree.resize(vma, start, end);
}

function compare(tree: VmaTree, list: NaiveList): void {
  tree.validate();
  expect([...tree]).toEqual(list.vmas);
  for (let page = 0; page < SPACE; page++) {
    const address = page * P + 8;
    expect(tree.find(address)).toBe(list.vmas.find((v) => v.contains(address)) ?? null);
    expect(tree.findFrom(address)).toBe(list.vmas.find((v) => v.end > address) ?? null);
    const below = list.vmas.filter((v) => v.start < address);
    expect(tree.findBelow(address)).toBe(below[below.length - 1] ?? null);
  }
}

describe('VmaTree', () => {
  test('gives the answers of a list, whatever was inserted, removed and resized', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
        const mm = freshMm();
        const list = new NaiveList();
        for (const step of actions) apply(mm, mm.vmas, list, step);
        compare(mm.vmas, list);
      }),
      { numRuns: 300 },
    );
  });

  test('finds the highest gap within any window', () => {
    const window = fc.record({
      length: fc.integer({ min: 1, max: 10 }),
      low: fc.nat(SPACE),
      high: fc.nat(SPACE),
    });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), window, (actions, w) => {
        const mm = freshMm();
        const list = new NaiveList();
        for (const step of actions) apply(mm, mm.vmas, list, step);
        const found = mm.vmas.findGap(w.length * P, w.low * P, w.high * P);
        expect(found).toBe(list.gap(w.length, w.low, w.high));
      }),
      { numRuns: 500 },
    );
  });

  test('a walk over a range survives changes behind it', () => {
    const mm = freshMm();
    for (let i = 0; i < 10; i++) mm.vmas.insert(vmaAt(mm, i * 2, i * 2 + 1));
    const seen: number[] = [];
    for (const vma of mm.vmas.range(2 * P, 11 * P)) {
      seen.push(vma.start / P);
      mm.vmas.remove(vma);
    }
    expect(seen).toEqual([2, 4, 6, 8, 10]);
    expect(mm.vmas.size).toBe(5);
  });

  test('refuses overlaps and strangers', () => {
    const mm = freshMm();
    const vma = vmaAt(mm, 2, 4);
    mm.vmas.insert(vma);
    expect(() => mm.vmas.insert(vmaAt(mm, 3, 5))).toThrow('overlaps');
    mm.vmas.insert(vmaAt(mm, 4, 5));
    expect(() => mm.vmas.resize(vma, 2 * P, 5 * P)).toThrow('over a neighbour');
    expect(() => mm.vmas.remove(vmaAt(mm, 7, 8))).toThrow('not in the tree');
  });
});
