import { beforeEach, describe, expect, test } from 'vitest';
import { enterSched } from '../sched/current.ts';
import { Sched } from '../sched/sched.ts';
import { Clock } from './clock.ts';
import { enterMachine } from './current.ts';
import { LITMUS_GEOMETRY } from './geometry.ts';
import { Machine } from './machine.ts';
import { mkTable, type Pfn, PTE_NONE } from './pte.ts';
import { setPte } from './tables.ts';
import { TLB_R, TLB_W, tlbPfn, UnboundedTlb } from './tlb.ts';

let machine: Machine;
beforeEach(() => {
  enterSched(new Sched(false));
  machine = new Machine({ geometry: LITMUS_GEOMETRY, harts: 2 });
  enterMachine(machine);
});

describe('frames', () => {
  test('does what one owner allocates not depend on what others do', () => {
    const alone = new Machine({ geometry: LITMUS_GEOMETRY, harts: 1 });
    const first = [alone.frames.alloc(3), alone.frames.alloc(3)];
    machine.frames.alloc(2);
    const a = machine.frames.alloc(3);
    machine.frames.alloc(4);
    expect([a, machine.frames.alloc(3)]).toEqual(first);
  });

  test('is an owner without frames told so, and is a freed frame handed out again', () => {
    const taken: Pfn[] = [];
    for (;;) {
      const pfn = machine.frames.alloc(0);
      if (pfn === 0) break;
      taken.push(pfn);
    }
    expect(taken.length).toBe(Math.floor((LITMUS_GEOMETRY.frames - 2) / LITMUS_GEOMETRY.owners));
    const last = taken[taken.length - 1] ?? (0 as Pfn);
    expect(machine.frames.put(last, 0)).toBe(true);
    expect(machine.frames.alloc(0)).toBe(last);
  });

  test('does zeroing clear what the frame held before', () => {
    const pfn = machine.frames.alloc(0) as Pfn;
    machine.frames.write(pfn, 0, Uint8Array.of(1, 2, 3));
    machine.frames.put(pfn, 0);
    const again = machine.frames.alloc(0) as Pfn;
    machine.frames.zero(again);
    expect([...machine.frames.read(again, 0, 16)]).toEqual(new Array(16).fill(0));
  });

  test('is a frame that is still mapped refused to the free list', () => {
    const pfn = machine.frames.alloc(0) as Pfn;
    machine.frames.addMapcount(pfn, 1);
    expect(() => machine.frames.put(pfn, 0)).toThrow('freed while mapped');
  });

  test('is a reference too few noticed', () => {
    const pfn = machine.frames.alloc(0) as Pfn;
    machine.frames.put(pfn, 0);
    expect(() => machine.frames.put(pfn, 0)).toThrow('put without a reference');
    expect(() => machine.frames.get(pfn)).toThrow('got while free');
  });

  test('does the census name what is in use and nothing else', () => {
    const pfn = machine.frames.alloc(1) as Pfn;
    machine.frames.get(pfn);
    expect([...machine.frames.census()]).toEqual([{ pfn, refcount: 2, mapcount: 0 }]);
    machine.frames.put(pfn, 1);
    machine.frames.put(pfn, 1);
    expect([...machine.frames.census()]).toEqual([]);
    expect(machine.frames.inUse).toBe(0);
  });
});

describe('tables', () => {
  test('does an owner get tables of its own, empty, until none is left', () => {
    const seen = new Set<number>();
    for (let i = 0; i < LITMUS_GEOMETRY.tablesPerOwner; i++) seen.add(machine.tables.alloc(1));
    expect(seen.size).toBe(LITMUS_GEOMETRY.tablesPerOwner);
    expect(machine.tables.alloc(1)).toBe(-1);
    expect(seen.has(machine.tables.alloc(2))).toBe(false);
  });

  test('is a table with an entry in it refused to the free list', () => {
    const table = machine.tables.alloc(0);
    const slot = machine.tables.slot(table, 2);
    setPte(slot, mkTable(5));
    expect(() => machine.tables.free(table, 0)).toThrow('entry 2 in use');
    setPte(slot, PTE_NONE);
    machine.tables.free(table, 0);
    expect(machine.tables.inUse).toBe(0);
  });
});

describe('TLB without eviction', () => {
  test('does an entry stay until it is flushed, and only flushed ones go', () => {
    const tlb = new UnboundedTlb();
    tlb.fill(5, 40 as Pfn, TLB_R | TLB_W);
    tlb.fill(9, 41 as Pfn, TLB_R);
    expect(tlbPfn(tlb.lookup(5))).toBe(40);
    tlb.flush(0, 6);
    expect(tlb.lookup(5)).toBe(0);
    expect(tlb.lookup(9) & TLB_R).toBe(TLB_R);
    tlb.flush(9, 100_000);
    expect([...tlb.entries()]).toEqual([]);
  });
});

describe('clock', () => {
  test('do timers fire in time order, and those of one instant in the order they were set', () => {
    const clock = new Clock();
    const fired: string[] = [];
    clock.at(30, () => fired.push('c'));
    clock.at(10, () => fired.push('a'));
    clock.at(10, () => fired.push('b'));
    const cancel = clock.at(20, () => fired.push('never'));
    cancel();
    clock.advance(15);
    expect(fired).toEqual(['a', 'b']);
    expect(clock.jump()).toBe(true);
    expect([clock.now, fired]).toEqual([30, ['a', 'b', 'c']]);
    expect(clock.jump()).toBe(false);
  });
});
