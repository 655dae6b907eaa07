import { describe, expect, test } from 'vitest';
import { Checkpoint, reachable } from './checkpoint.ts';

class Counter {
  n = 0;
  private seen: number[] = [];
  see(n: number): void {
    this.seen.push(n);
    this.n++;
  }
  get all(): readonly number[] {
    return this.seen;
  }
}

function world() {
  const a = new Counter();
  const b = new Counter();
  const buffer = new ArrayBuffer(8);
  const words = new Int32Array(buffer, 4, 1);
  return {
    a,
    map: new Map([
      [a, 1],
      [b, 2],
    ]),
    set: new Set([b, a]),
    names: { x: 1 } as Record<string, number>,
    holes: [a, undefined, b, undefined] as (Counter | undefined)[],
    words,
    bytes: new Uint8Array(buffer),
  };
}

describe('what does restore bring back', () => {
  const none: ReadonlySet<object> = new Set();

  test('fields, private ones too, of objects reached over any road', () => {
    const w = world();
    const [, b] = w.map.keys();
    const checkpoint = new Checkpoint(w, none);
    w.a.see(5);
    b?.see(6);
    w.a = new Counter();
    checkpoint.restore();
    expect([w.a.n, w.a.all, b?.n, b?.all]).toEqual([0, [], 0, []]);
    expect([...w.map.keys()][0]).toBe(w.a);
    expect(checkpoint.leftover()).toBeNull();
  });

  test('entries of maps and sets, in their order', () => {
    const w = world();
    const before = [[...w.map], [...w.set]];
    const checkpoint = new Checkpoint(w, none);
    const [a] = w.map.keys();
    if (a === undefined) throw new Error('empty');
    w.map.delete(a);
    w.map.set(a, 1);
    w.set.delete(a);
    w.set.add(new Counter());
    checkpoint.restore();
    expect([[...w.map], [...w.set]]).toEqual(before);
  });

  test('elements, lengths, names of a record, words of memory', () => {
    const w = world();
    const [a, , b] = w.holes;
    const checkpoint = new Checkpoint(w, none);
    w.holes.length = 1;
    w.holes[0] = undefined;
    w.names['y'] = 2;
    w.names['x'] = 3;
    w.words[0] = -1;
    checkpoint.restore();
    expect([w.holes, w.names, [...w.bytes]]).toEqual([
      [a, undefined, b, undefined],
      { x: 1 },
      Array(8).fill(0),
    ]);
    expect(w.holes[0]).toBe(a);
  });

  test('again and again', () => {
    const w = world();
    const checkpoint = new Checkpoint(w, none);
    for (let i = 0; i < 3; i++) {
      w.a.see(i);
      expect(w.a.all).toEqual([i]);
      checkpoint.restore();
    }
  });
});

describe('what does it not touch', () => {
  test('constants: what two graphs made apart share', () => {
    const table = { rows: [1, 2] };
    const make = () => ({ table, own: { n: 0 } });
    const [one, other] = [make(), make()];
    const shared = reachable(other);
    const constants = new Set([...reachable(one)].filter((object) => shared.has(object)));
    expect([...constants]).toEqual([table, table.rows]);
    const checkpoint = new Checkpoint(one, constants);
    one.own.n = 1;
    table.rows.push(3);
    checkpoint.restore();
    expect([one.own.n, table.rows]).toEqual([0, [1, 2, 3]]);
  });
});

describe('what does it refuse or report', () => {
  test('a generator cannot be put back', () => {
    function* forever(): Generator<number> {
      for (;;) yield 1;
    }
    expect(() => reachable({ body: forever() })).toThrow('[object Generator] cannot be put back');
    expect(() => reachable({ side: new WeakMap() })).toThrow('[object WeakMap] cannot be put back');
  });

  test('a field that a class does not declare stays, and leftover says so', () => {
    const root = { counter: new Counter() };
    const checkpoint = new Checkpoint(root, new Set());
    Object.assign(root.counter, { late: 1 });
    checkpoint.restore();
    expect(checkpoint.leftover()).toBe('Counter has got a field late');
    Object.assign(root.counter, { late: { far: 1 } });
    expect(checkpoint.leftover()).toBe('a record that was not there is reached');
  });
});
