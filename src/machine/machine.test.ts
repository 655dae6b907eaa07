import { beforeEach, describe, expect, test } from 'vitest';
import { Prng } from '../base/prng.ts';
import { enterSched } from '../sched/current.ts';
import { Sched } from '../sched/sched.ts';
import { Clock } from './clock.ts';
import { enterMachine } from './current.ts';
import { PG_ANON_EXCLUSIVE, PG_DIRTY } from './frames.ts';
import { LITMUS_GEOMETRY } from './geometry.ts';
import { Machine } from './machine.ts';
import { mkTable, type Pfn, PTE_NONE } from './pte.ts';
import { setPte } from './tables.ts';
import { TableTlb, TLB_R, TLB_W, type Tlb, tlbPfn, UnboundedTlb } from './tlb.ts';

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

describe('large folios', () => {
  const ORDER = 2;
  const size = 1 << ORDER;

  test('is a large folio aligned to its size, and one reference for all its frames', () => {
    machine.frames.alloc(0);
    const head = machine.frames.allocFolio(0, ORDER) as Pfn;
    expect(head % size).toBe(0);
    const tail = (head + 3) as Pfn;
    expect([machine.frames.head(tail), machine.frames.order(tail)]).toEqual([head, ORDER]);
    machine.frames.get(tail);
    expect(machine.frames.refcount(head)).toBe(2);
    machine.frames.setFlag(tail, PG_DIRTY);
    expect(machine.frames.hasFlag(head, PG_DIRTY)).toBe(true);
    machine.frames.put(head, 0);
    expect(machine.frames.put(tail, 0)).toBe(true);
    expect(machine.frames.inUse).toBe(1);
  });

  test('does AnonExclusive belong to each frame', () => {
    const head = machine.frames.allocFolio(0, ORDER) as Pfn;
    machine.frames.setFlag((head + 1) as Pfn, PG_ANON_EXCLUSIVE);
    expect(machine.frames.hasFlag(head, PG_ANON_EXCLUSIVE)).toBe(false);
    expect(machine.frames.hasFlag((head + 1) as Pfn, PG_ANON_EXCLUSIVE)).toBe(true);
  });

  test('are mappings of one frame and of the whole told apart', () => {
    const head = machine.frames.allocFolio(0, ORDER) as Pfn;
    machine.frames.addEntireMapcount(head, 1);
    machine.frames.addMapcount((head + 2) as Pfn, 1);
    const counts = [0, 1, 2].map((i) => machine.frames.pageMapcount((head + i) as Pfn));
    expect([...counts, machine.frames.mapcount(head)]).toEqual([1, 1, 2, 2]);
  });

  test('do allocations of runs and of frames by different owners commute', () => {
    const alone = new Machine({ geometry: LITMUS_GEOMETRY, harts: 1 });
    const first = [alone.frames.allocFolio(3, ORDER), alone.frames.alloc(3)];
    machine.frames.allocFolio(2, ORDER);
    expect([machine.frames.allocFolio(3, ORDER), machine.frames.alloc(3)]).toEqual(first);
  });

  test('is RAM used up by runs and frames alike, and can freed frames be runs again', () => {
    const { frames } = machine;
    const runs: Pfn[] = [];
    for (let head = frames.allocFolio(0, ORDER); head !== 0; head = frames.allocFolio(0, ORDER)) {
      runs.push(head);
    }
    const singles: Pfn[] = [];
    for (let pfn = frames.alloc(0); pfn !== 0; pfn = frames.alloc(0)) singles.push(pfn);
    const share = Math.floor((LITMUS_GEOMETRY.frames - 2) / LITMUS_GEOMETRY.owners);
    expect(runs.length * size + singles.length).toBe(share);
    expect(new Set([...runs, ...singles]).size).toBe(runs.length + singles.length);
    for (const head of runs) frames.put(head, 0);
    const again: Pfn[] = [];
    for (let i = 0; i < runs.length * size; i++) again.push(frames.alloc(0) as Pfn);
    expect(frames.alloc(0)).toBe(0);
    for (const pfn of again) frames.put(pfn, 0);
    expect(frames.allocFolio(0, ORDER)).not.toBe(0);
  });

  test('does a split leave each frame what its mappings hold, and free the rest', () => {
    const { frames } = machine;
    const head = frames.allocFolio(0, ORDER) as Pfn;
    frames.index[head] = 8;
    frames.addMapcount((head + 1) as Pfn, 1);
    frames.get(head);
    frames.splitFolio(head, 0, (head + 2) as Pfn);
    expect([...frames.census()]).toEqual([
      { pfn: head + 1, refcount: 1, mapcount: 1 },
      { pfn: head + 2, refcount: 1, mapcount: 0 },
    ]);
    expect([frames.order(head), frames.indexOf((head + 1) as Pfn)]).toEqual([0, 9]);
    expect(frames.inUse).toBe(2);
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
  test.each([UnboundedTlb, TableTlb])(
    'does an entry stay until it is flushed, and only flushed ones go: %o',
    (Kind) => {
      const tlb = new Kind();
      tlb.fill(5, 40 as Pfn, TLB_R | TLB_W);
      tlb.fill(9, 41 as Pfn, TLB_R);
      expect(tlbPfn(tlb.lookup(5))).toBe(40);
      tlb.flush(0, 6);
      expect(tlb.lookup(5)).toBe(0);
      expect(tlb.lookup(9) & TLB_R).toBe(TLB_R);
      tlb.flush(9, 100_000);
      expect([...tlb.entries()]).toEqual([]);
    },
  );

  test('do entries in tables answer as entries one by one do, whatever is flushed', () => {
    const random = new Prng(5);
    const [table, single] = [new TableTlb(), new UnboundedTlb()];
    const high = 0x7_ffff_0000;
    for (let round = 0; round < 3000; round++) {
      const vpn = high + random.below(3000);
      const end = vpn + 1 + random.below(random.below(4) === 0 ? 100_000 : 1000);
      const flush = random.below(12) === 0;
      for (const tlb of [table, single]) {
        if (flush) tlb.flush(vpn, end);
        else tlb.fill(vpn, (round + 2) as Pfn, TLB_R);
        if (round % 700 === 699) tlb.flushAll();
      }
      const probe = high + random.below(3000);
      expect(table.lookup(probe)).toBe(single.lookup(probe));
    }
    const sorted = (tlb: Tlb): unknown => [...tlb.entries()].sort(([a], [b]) => a - b);
    expect(sorted(table)).toEqual(sorted(single));
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
