import { describe, expect, test } from 'vitest';
import { explore } from '../explore/explore.ts';
import type { Program } from '../explore/program.ts';
import { access, choose, pause, until } from './access.ts';
import { cellOf, READ, WRITE } from './cell.ts';
import { enterSched } from './current.ts';
import type { Steps } from './op.ts';
import { Rcu } from './rcu.ts';
import { Sched } from './sched.ts';
import { type SleepClass, Sleeper, sleep, WaitQueue } from './wait.ts';

/** The outcomes of all interleavings of what `set` spawns. */
function outcomes(set: (sched: Sched, log: string[]) => void): string[] {
  const program: Program<string> = {
    start: () => {
      const sched = new Sched(true);
      enterSched(sched);
      const log: string[] = [];
      set(sched, log);
      return { sched, finish: (ending) => [...log, ending].join(' ') };
    },
  };
  const found = new Set<string>();
  explore(program, {}, (seen) => {
    if (seen.ending === 'failed') throw seen.error;
    found.add(seen.outcome ?? '');
    return undefined;
  });
  return [...found].sort();
}

describe('sleeping', () => {
  test('ends when woken; a wake that comes before the sleeper queued is lost', () => {
    const found = outcomes((sched, log) => {
      const queue = new WaitQueue(3);
      sched.spawn(
        'sleeper',
        (function* (): Steps<void> {
          const sleeper = new Sleeper(4);
          yield* pause('before');
          queue.add(sleeper);
          log.push(yield* sleep(sleeper, 'uninterruptible', 'the waker'));
        })(),
      );
      sched.spawn(
        'waker',
        (function* (): Steps<void> {
          yield* pause('before');
          queue.wake();
        })(),
      );
    });
    expect(found).toEqual(['stuck', 'woken done']);
  });

  test('two who wake one each wake two, in the order of arrival', () => {
    const found = outcomes((sched, log) => {
      const queue = new WaitQueue(3);
      const sleepers = [new Sleeper(4), new Sleeper(4)];
      for (const s of sleepers) queue.add(s);
      for (const name of ['p', 'q']) {
        sched.spawn(
          name,
          (function* (): Steps<void> {
            yield* pause('before');
            queue.wake(1);
            log.push(`${name}${sleepers.filter((s) => s.woken).length}`);
          })(),
        );
      }
    });
    expect(found).toEqual(['p1 q2 done', 'q1 p2 done']);
  });

  test.each([
    ['interruptible', 'pending', 'signal'],
    ['killable', 'pending', null],
    ['killable', 'fatal', 'signal'],
    ['uninterruptible', 'fatal', null],
  ] as const)('a %s sleep with a %s signal ends: %s', (cls: SleepClass, signal, reason) => {
    const found = outcomes((sched, log) => {
      const thread = sched.spawn(
        't',
        (function* (): Steps<void> {
          log.push(yield* sleep(new Sleeper(4), cls, 'nobody'));
        })(),
      );
      thread.signal = signal;
    });
    expect(found).toEqual([reason === null ? 'stuck' : `${reason} done`]);
  });

  test('a signal and a wake end a sleep in either order', () => {
    const found = outcomes((sched, log) => {
      const sleepers: Sleeper[] = [];
      const thread = sched.spawn(
        't',
        (function* (): Steps<void> {
          const sleeper = new Sleeper(4);
          sleepers.push(sleeper);
          log.push(yield* sleep(sleeper, 'killable', 'anybody'));
        })(),
      );
      for (const name of ['wake', 'kill']) {
        sched.spawn(
          name,
          (function* (): Steps<void> {
            yield* pause('before');
            if (name === 'kill') sched.signal(thread, 'fatal');
            else for (const sleeper of sleepers) sleeper.wake();
          })(),
        );
      }
    });
    expect(found).toEqual(['signal done', 'woken done']);
  });

  test('time moves on only when nothing can run, and ends a sleep with a limit', () => {
    const found = outcomes((sched, log) => {
      let now = 0;
      sched.idle = () => now++ < 1;
      sched.spawn(
        't',
        (function* (): Steps<void> {
          log.push(yield* sleep(new Sleeper(4), 'killable', 'nobody', () => now > 0));
        })(),
      );
      sched.spawn('u', access('load', cellOf(5, 0), READ));
    });
    expect(found).toEqual(['timeout done']);
  });
});

describe('until', () => {
  test('waits for a condition, and a condition that passes away may be missed', () => {
    const found = outcomes((sched, log) => {
      let x = 0;
      const cell = cellOf(5, 0);
      sched.spawn(
        'w',
        (function* (): Steps<void> {
          yield* access('store', cell, WRITE);
          x = 1;
          yield* access('store', cell, WRITE);
          x = 2;
        })(),
      );
      sched.spawn(
        'r',
        (function* (): Steps<void> {
          yield* until('until', cell, READ, () => x === 1, 'w');
          log.push('seen');
        })(),
      );
    });
    expect(found).toEqual(['seen done', 'stuck']);
  });
});

describe('choose', () => {
  test('is answered by the schedule when exploring, and by 0 when not', () => {
    const found = outcomes((sched, log) => {
      sched.spawn(
        't',
        (function* (): Steps<void> {
          log.push(`${yield* choose('c', 3)}`);
        })(),
      );
    });
    expect(found).toEqual(['0 done', '1 done', '2 done']);
    expect(new Sched(false).runAlone(choose('c', 3))).toBe(0);
  });
});

describe('runAlone', () => {
  test('asserts when it would wait for ever', () => {
    const wait = until('until', cellOf(5, 0), READ, () => false, 'a page');
    expect(() => new Sched(true).runAlone(wait)).toThrow('until waits for ever: a page');
  });
});

describe('RCU', () => {
  /** A reader that looks twice, and somebody who frees what it may look at. */
  function grace(readers: number): string[] {
    return outcomes((sched, log) => {
      const rcu = new Rcu(3);
      let freed = false;
      for (let i = 0; i < readers; i++) {
        sched.spawn(
          `r${i}`,
          (function* (): Steps<void> {
            yield* pause('before');
            rcu.readLock();
            sched.touch(cellOf(5, 1), READ);
            const before = freed;
            yield* access('look', cellOf(5, 1), READ);
            log.push(`r${i}:${before}${freed}`);
            rcu.readUnlock();
          })(),
        );
      }
      sched.spawn(
        'f',
        (function* (): Steps<void> {
          yield* pause('before');
          rcu.callRcu(() => {
            sched.touch(cellOf(5, 1), WRITE);
            freed = true;
          });
        })(),
      );
      sched.spawn('rcu', rcu.actor(), true);
    });
  }

  test('frees before a section or after it, never within it', () => {
    expect(grace(1)).toEqual(['r0:falsefalse done', 'r0:truetrue done']);
  });

  test('a section that begins later is not waited for', () => {
    expect(grace(2)).toContain('r0:falsefalse r1:falsetrue done');
    expect(grace(2)).not.toContain('r0:falsetrue r1:falsetrue done');
  });

  test('sleeping in a section, and leaving one that was not entered, are bugs', () => {
    expect(() =>
      outcomes((sched) => {
        const rcu = new Rcu(3);
        sched.spawn(
          't',
          (function* (): Steps<void> {
            rcu.readLock();
            yield* sleep(new Sleeper(4), 'killable', 'a page');
          })(),
        );
      }),
    ).toThrow('sleeping in atomic: t waits for a page inside an RCU read section');
    expect(() =>
      outcomes((sched) => {
        const rcu = new Rcu(3);
        sched.spawn(
          't',
          (function* (): Steps<void> {
            rcu.readUnlock();
          })(),
        );
      }),
    ).toThrow('t leaves an RCU section it is not in');
  });
});

test('a thread that was given a function begins at its first step, one given a generator has begun', () => {
  const sched = new Sched(true);
  enterSched(sched);
  const log: string[] = [];
  function* body(name: string): Steps<void> {
    yield* pause('on the way');
    log.push(name);
  }
  const late = sched.spawn('late', () => {
    log.push('made');
    return body('late');
  });
  sched.spawn('early', body('early'));
  expect([late.body, log]).toEqual([null, []]);
  const ending = sched.execute(
    { pick: (_s, [first]) => first ?? null, choose: () => 0, stepped: () => undefined },
    100,
  );
  expect([ending, log]).toEqual(['done', ['made', 'late', 'early']]);
});
