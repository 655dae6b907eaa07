import { describe, expect, test } from 'vitest';
import { FaultlineBug } from '../base/assert.ts';
import { access, choose } from '../sched/access.ts';
import { cellOf, WRITE } from '../sched/cell.ts';
import { enterSched } from '../sched/current.ts';
import type { Steps } from '../sched/op.ts';
import { Sched } from '../sched/sched.ts';
import { type ExploreOptions, explore, Fewest } from './explore.ts';
import type { Program } from './program.ts';
import { adders, inc, litmus, program, type Words } from './programs.ts';
import { randomProgram } from './random-programs.ts';
import { replay } from './replay.ts';
import { decodeSchedule, encodeSchedule } from './schedule.ts';

function schedules<O>(p: Program<O>, options: ExploreOptions): Map<string, O | null> {
  const found = new Map<string, O | null>();
  explore(p, options, (seen) => {
    found.set(encodeSchedule(seen.schedule()), seen.outcome);
    return undefined;
  });
  return found;
}

/** Three threads, the last of which fails when it sees the first one half done. */
const halfDone = program(1, (w) => {
  function* writer(words: Words): Steps<void> {
    yield* words.store(0, 1);
    yield* words.store(0, 2);
  }
  function* checker(words: Words): Steps<void> {
    if ((yield* words.load(0)) === 1) throw new Error('half done');
  }
  function* idle(words: Words): Steps<void> {
    yield* words.load(0);
  }
  return [writer(w), checker(w), idle(w)];
});

describe('depth-first search', () => {
  test('runs every interleaving of the steps, starts included', () => {
    const found = explore(adders(2, 1), { strategy: 'dfs' }, () => undefined);
    expect(found).toMatchObject({ executions: 6, exhausted: true });
    expect(explore(adders(3, 1), { strategy: 'dfs' }, () => undefined).executions).toBe(90);
  });

  test('with a bound of 0 never takes the turn from a thread that can go on', () => {
    const outcomes = new Set(schedules(inc(2), { strategy: 'dfs', bound: 0 }).values());
    expect(outcomes).toEqual(new Set(['done 2 ']));
    const bounded = explore(inc(2), { strategy: 'dfs', bound: 1 }, (seen) => {
      expect(seen.switches).toBeLessThanOrEqual(1);
      return undefined;
    });
    expect(bounded.stoppedBy).toBe('exhausted');
    expect(bounded.exhausted).toBe(false);
  });
});

describe('random', () => {
  test('samples the same schedules from the same seed, and others from another', () => {
    const sample = (seed: number) => [
      ...schedules(inc(3), { strategy: 'random', seed, maxExecutions: 20 }).keys(),
    ];
    expect(sample(7)).toEqual(sample(7));
    expect(sample(7)).not.toEqual(sample(8));
  });

  test('is never exhausted', () => {
    const options = { strategy: 'random', maxExecutions: 5 } as const;
    expect(explore(inc(2), options, () => undefined)).toMatchObject({
      executions: 5,
      exhausted: false,
      stoppedBy: 'executions',
    });
  });
});

describe('choices', () => {
  test('are all taken, in every combination', () => {
    const p = program(2, (w) => {
      function* body(i: number): Steps<void> {
        w.value[i] = (yield* choose('first', 3)) * 10;
        w.value[i] += yield* choose('second', 2);
      }
      return [body(0), body(1)];
    });
    for (const strategy of ['dpor', 'dfs'] as const) {
      const outcomes = new Set(schedules(p, { strategy }).values());
      expect(outcomes.size).toBe(36);
    }
    expect(schedules(p, {}).size).toBe(36);
  });
});

describe('a failed execution', () => {
  test('keeps what was thrown and a schedule that throws it again', () => {
    const fewest = new Fewest<string>();
    const found = explore(halfDone, {}, (seen) => {
      if (seen.ending === 'failed') fewest.show(seen);
      return undefined;
    });
    expect(found.failures).toBeGreaterThan(0);
    expect(found.exhausted).toBe(false);
    const best = fewest.best;
    expect(best?.seen.error).toEqual(new Error('half done'));
    expect(best?.seen.switches).toBe(1);
    const text = encodeSchedule(best?.schedule ?? { threads: [], choices: [] });
    expect(replay(halfDone, decodeSchedule(text)).error).toEqual(new Error('half done'));
  });

  test('does not hide what the other threads would have done next', () => {
    const p = program(1, (w) => {
      function* fails(): Steps<void> {
        if ((yield* w.load(0)) === 0) throw new FaultlineBug('BUG: too early');
      }
      return [fails(), w.store(0, 1)];
    });
    expect(new Set(schedules(p, {}).values())).toEqual(new Set([null, 'done 1 ']));
  });

  test('may come from a check after a step or from the outcome', () => {
    const p: Program<string> = {
      start: () => {
        const execution = inc(2).start();
        execution.sched.afterStep = () => {
          if (execution.sched.steps === 5) throw new Error('rule');
        };
        return execution;
      },
    };
    explore(p, {}, (seen) => {
      expect(seen.error).toEqual(new Error('rule'));
      return 'stop';
    });
    const q: Program<string> = {
      start: () => ({
        sched: inc(2).start().sched,
        finish: () => {
          throw new Error('outcome');
        },
      }),
    };
    const found = explore(q, {}, (seen) => {
      expect(seen.ending).toBe('failed');
      return undefined;
    });
    expect(found).toMatchObject({ executions: 4, failures: 4 });
  });
});

describe('an execution that never ends', () => {
  test('is broken off, told, and keeps the search from being exhausted', () => {
    const p = program(1, (w) => {
      function* loop(): Steps<void> {
        for (;;) yield* w.load(0);
      }
      return [loop()];
    });
    const found = explore(p, { maxSteps: 50 }, (seen) => {
      expect(seen.ending).toBe('limit');
      return undefined;
    });
    expect(found).toMatchObject({ limited: 1, exhausted: false, stoppedBy: 'exhausted' });
  });
});

describe('replay', () => {
  const p = randomProgram([
    [
      { do: 'choose', body: [{ do: 'sleep' }] },
      { do: 'store', word: 0 },
    ],
    [{ do: 'wake' }, { do: 'mutex', body: [{ do: 'fetchAdd', word: 0 }] }],
  ]);

  test('of any execution that a search saw gives the same outcome', () => {
    const found = schedules(p, {});
    expect(found.size).toBeGreaterThan(4);
    for (const [text, outcome] of found) {
      expect(replay(p, decodeSchedule(text)).outcome).toBe(outcome);
    }
  });

  test('continues a prefix by staying on the thread, and keeps the whole schedule', () => {
    const whole = encodeSchedule(replay(p, decodeSchedule('')).schedule());
    const seen = replay(p, decodeSchedule('ba'));
    expect(seen.ending).toBe('done');
    expect(encodeSchedule(seen.schedule()).startsWith('ba')).toBe(true);
    expect(encodeSchedule(replay(p, decodeSchedule(whole)).schedule())).toBe(whole);
  });

  test.each([
    ['az', /at step 2: thread 25 cannot run, only \{0 1\}/],
    ['a2', /at step 2: thread 0 has a choice there/],
    ['a.0', /at step 1: thread 0 has no choice there/],
    ['aa.7', /at step 2: thread 0 has 2 choices, not a number 7/],
  ])('of a schedule of another program (%s) is refused with the place', (text, message) => {
    expect(() => replay(p, decodeSchedule(text))).toThrow(message);
  });

  test('of a schedule that is longer than the execution is refused', () => {
    const whole = encodeSchedule(replay(p, decodeSchedule('')).schedule());
    expect(() => replay(p, decodeSchedule(`${whole}a`))).toThrow(/the schedule/);
  });
});

describe('stray nondeterminism is told with both sides', () => {
  /** A program that does something else in its n-th execution. */
  function stray(differs: (execution: number, sched: Sched) => Steps<void>): Program<string> {
    let execution = 0;
    return {
      start: () => {
        const sched = new Sched(true);
        enterSched(sched);
        sched.spawn('a', differs(execution++, sched));
        sched.spawn('b', access('store', cellOf(2, 0), WRITE));
        return { sched, finish: () => '' };
      },
    };
  }
  const run = (p: Program<string>) => explore(p, {}, () => undefined);

  test('when a step touches something else', () => {
    const p = stray(function* (n) {
      yield* access('store', cellOf(2, 1), WRITE);
      if (n === 0) yield* access('store', cellOf(2, 0), WRITE);
      else yield* access('store', cellOf(2, 0), WRITE);
    });
    expect(run(p)).toMatchObject({ executions: 2 });
    const q = stray(function* (n, sched) {
      sched.touch(cellOf(2, 7 + n), WRITE);
      yield* access('store', cellOf(2, 0), WRITE);
    });
    expect(() => run(q)).toThrow(/step 0: what thread 0 touched was \[cell 2:7.*now is \[cell 2:8/);
  });

  test('when a step is another one', () => {
    const p = stray(function* (n) {
      yield* access(n < 2 ? 'store' : 'load', cellOf(2, 0), WRITE);
      yield* access('store', cellOf(2, 0), WRITE);
    });
    expect(() => run(p)).toThrow(/thread 0's step was store .*now is load/);
  });

  test('when other threads can run', () => {
    const p = stray(function* (n, sched) {
      if (n > 0) sched.spawn('c', access('store', cellOf(2, 3), WRITE));
      yield* access('store', cellOf(2, 0), WRITE);
    });
    expect(() => run(p)).toThrow(/same schedule did two different things/);
  });
});

test('the caller can stop a search, and limits are kept', () => {
  expect(explore(inc(3), {}, () => 'stop')).toMatchObject({ executions: 1, stoppedBy: 'caller' });
  const some = explore(inc(3), { maxExecutions: 7 }, () => undefined);
  expect(some).toMatchObject({ executions: 7, exhausted: false, stoppedBy: 'executions' });
});

test('weakly ordered outcomes do not exist: store buffering never reads 0 twice', () => {
  const outcomes = new Set(schedules(litmus('W0 R1', 'W1 R0'), {}).values());
  expect(outcomes).toEqual(new Set(['done 1,1,0 0,1', 'done 1,1,0 1,1']));
});
