import { describe, expect, test } from 'vitest';
import { pause } from './access.ts';
import { entryKind, LOCK_W, PASS, TRY_W, UNLOCK_W } from './cell.ts';
import { enterSched } from './current.ts';
import {
  assertHeld,
  assertHeldWrite,
  downgrade,
  Lock,
  type LockClass,
  lock,
  lockRead,
  take,
  tryLock,
  tryLockRead,
  unlock,
  unlockAll,
  unlockRead,
} from './lock.ts';
import type { Steps } from './op.ts';
import { type Ending, type Oracle, Sched } from './sched.ts';

const cls = (name: string, rank: number, spins = false, nests = false): LockClass => ({
  name,
  rank,
  nests,
  spins,
  cellClass: 2,
});
const OUTER = cls('outer', 1);
const INNER = cls('inner', 2);
const SPIN = cls('spin', 3, true);

/** Runs threads in the order of `picks` (ids), then lowest first; the kinds each step touched. */
function run(
  sched: Sched,
  bodies: readonly Steps<void>[],
  picks = '',
): { ending: Ending; steps: string[] } {
  const steps: string[] = [];
  const queue = [...picks].map(Number);
  bodies.forEach((body, i) => {
    sched.spawn(`t${i}`, body);
  });
  const oracle: Oracle = {
    pick: (_, enabled) =>
      enabled.find((t) => t.id === queue[0] && queue.shift() !== undefined) ?? enabled[0] ?? null,
    choose: () => 0,
    stepped: (_, thread) => {
      steps.push(`${thread.id}:${sched.footprint.map((e) => entryKind(e)).join(',')}`);
    },
  };
  return { ending: sched.execute(oracle, 200), steps };
}

function world(): Sched {
  const sched = new Sched(true);
  enterSched(sched);
  return sched;
}

describe('a lock', () => {
  test('keeps a second writer out until it is released', () => {
    const sched = world();
    const l = new Lock(OUTER, 'l');
    const order: string[] = [];
    function* body(name: string): Steps<void> {
      yield* lock(l);
      order.push(`${name} in`);
      yield* pause('inside');
      order.push(`${name} out`);
      unlock(l);
    }
    expect(run(sched, [body('a'), body('b')], '0101').ending).toBe('done');
    expect(order).toEqual(['a in', 'a out', 'b in', 'b out']);
  });

  test('lets readers in together, and a writer only when they have left', () => {
    const sched = world();
    const l = new Lock(OUTER, 'l');
    let readers = 0;
    let most = 0;
    function* read(): Steps<void> {
      yield* lockRead(l);
      readers++;
      most = Math.max(most, readers);
      yield* pause('inside');
      readers--;
      unlockRead(l);
    }
    function* write(): Steps<void> {
      yield* lock(l);
      expect(readers).toBe(0);
      unlock(l);
    }
    expect(run(sched, [read(), read(), write()], '012012').ending).toBe('done');
    expect(most).toBe(2);
  });

  test('that nobody releases leaves the others stuck', () => {
    const sched = world();
    const l = new Lock(OUTER, 'l');
    l.held = true;
    expect(run(sched, [lock(l)]).ending).toBe('stuck');
    expect(sched.waiting().map((t) => t.name)).toEqual(['t0']);
  });

  test('held by two threads crosswise is a deadlock', () => {
    const sched = world();
    const nests = cls('nests', 1, false, true);
    const a = new Lock(nests, 'a');
    const b = new Lock(nests, 'b');
    function* body(first: Lock, second: Lock): Steps<void> {
      yield* lock(first);
      yield* lock(second);
      unlock(second);
      unlock(first);
    }
    expect(run(sched, [body(a, b), body(b, a)], '0101').ending).toBe('stuck');
  });

  test('can be downgraded with no writer in between', () => {
    const sched = world();
    const l = new Lock(OUTER, 'l');
    function* body(): Steps<void> {
      yield* lock(l);
      downgrade(l);
      expect(l.held).toBe(false);
      expect(yield* tryLock(l)).toBe(false);
      unlockRead(l);
      expect(yield* tryLock(l)).toBe(true);
      expect(yield* tryLockRead(l)).toBe(false);
      unlock(l);
    }
    expect(run(sched, [body()]).ending).toBe('done');
  });
});

describe('footprints', () => {
  test('a spinlock that a step takes and releases is a PASS, one held on is a LOCK_W', () => {
    const sched = world();
    const l = new Lock(SPIN, 'l');
    function* body(): Steps<void> {
      yield* lock(l);
      unlock(l);
      yield* pause('between');
      yield* tryLock(l);
      yield* pause('inside');
      unlock(l);
    }
    const { steps } = run(sched, [body()]);
    const end = 1;
    expect(steps).toEqual([
      '0:',
      `0:${PASS}`,
      '0:',
      `0:${TRY_W},${LOCK_W}`,
      `0:${UNLOCK_W},${end}`,
    ]);
  });
});

describe('lockdep', () => {
  const fails = (body: () => Steps<void>) => {
    const sched = world();
    return expect(() => run(sched, [body()]));
  };

  test('refuses an inner lock before an outer one', () => {
    fails(function* () {
      yield* lock(new Lock(INNER, 'i'));
      yield* lock(new Lock(OUTER, 'o'));
    }).toThrow('BUG: lock order: o taken by t0 while holding i');
  });

  test('refuses two of a class that does not nest', () => {
    fails(function* () {
      yield* lock(new Lock(OUTER, 'a'));
      yield* lock(new Lock(OUTER, 'b'));
    }).toThrow('lock order: b taken by t0 while holding a');
  });

  test('refuses recursion, by reading too', () => {
    fails(function* () {
      const l = new Lock(OUTER, 'l');
      yield* lockRead(l);
      yield* lockRead(l);
    }).toThrow('recursive locking of l by t0');
  });

  test('lets a trylock go against the order', () => {
    const sched = world();
    function* body(): Steps<void> {
      const outer = new Lock(OUTER, 'o');
      const inner = new Lock(INNER, 'i');
      yield* lock(inner);
      expect(yield* tryLock(outer)).toBe(true);
      unlock(outer);
      unlock(inner);
    }
    expect(run(sched, [body()]).ending).toBe('done');
  });

  test('refuses to sleep for a mutex under a spinlock', () => {
    fails(function* () {
      yield* lock(new Lock(SPIN, 's'));
      yield* lock(new Lock(OUTER, 'o'));
    }).toThrow('sleeping in atomic: t0 waits for o inside s');
  });

  test('refuses a thread that ends with a lock, a release without one, and taking a held one', () => {
    fails(function* () {
      yield* lock(new Lock(OUTER, 'l'));
    }).toThrow('t0 ended holding l');
    fails(function* () {
      unlock(new Lock(OUTER, 'l'));
    }).toThrow('l released while not held');
    fails(function* () {
      const l = new Lock(SPIN, 'l');
      take(l);
      take(l);
    }).toThrow('l taken while held');
  });

  test('refuses the wrong order after releases in any order, and allows the right one', () => {
    const classes = [cls('a', 1), cls('b', 2), cls('c', 3), cls('d', 4, false, true)];
    const [a, b, c, d1, d2] = [0, 1, 2, 3, 3].map((i, n) => {
      const of = classes[i] ?? OUTER;
      return new Lock(of, `${of.name}${n}`);
    }) as [Lock, Lock, Lock, Lock, Lock];
    const held = function* (): Steps<void> {
      for (const l of [a, b, c, d1, d2]) yield* lock(l);
      unlock(c);
      unlockAll([d1, d2]);
      unlock(a);
      // Only b is left: an inner one may come, an outer one may not.
      yield* lock(c);
      unlock(c);
    };
    fails(function* () {
      yield* held();
      yield* lock(a);
    }).toThrow('lock order: a0 taken by t0 while holding b1');
    for (const l of [a, b, c, d1, d2]) l.held = false;
    const sched = world();
    const { ending } = run(sched, [
      (function* () {
        yield* held();
        unlock(b);
        yield* lock(a);
        unlock(a);
      })(),
    ]);
    expect(ending).toBe('done');
  });

  test('tells a holder from others', () => {
    fails(function* () {
      assertHeld(new Lock(OUTER, 'l'));
    }).toThrow('l must be held by t0');
    fails(function* () {
      const l = new Lock(OUTER, 'l');
      yield* lockRead(l);
      assertHeld(l);
      assertHeldWrite(l);
    }).toThrow('l must be write-held by t0');
  });
});
