/** The rules every acquisition is checked against: order by rank, no recursion, no sleeping in an atomic section. */
import { assert } from '../base/assert.ts';
import { sched } from './current.ts';
import type { Lock } from './lock.ts';

/**
 * Asserts that taking `l` now keeps the order of docs/locking.md. A trylock cannot deadlock and is exempt from the
 * order, never from recursion.
 */
export function checkAcquire(l: Lock, tried: boolean): void {
  const thread = sched.running;
  if (thread === null) return;
  const { cls } = l;
  const top = thread.heldRanks[thread.heldRanks.length - 1];
  // Who unmaps a thousand VMAs holds a thousand locks: the common cases must not look at each.
  if (top === undefined || top < cls.rank) return;
  if (cls.nests && (tried || top === cls.rank)) return;
  for (const h of thread.held) {
    assert(h !== l || cls.nests, () => `recursive locking of ${l.name} by ${thread.name}`);
    if (tried) continue;
    assert(
      h.cls.rank < cls.rank || (h.cls === cls && cls.nests),
      () => `lock order: ${l.name} taken by ${thread.name} while holding ${h.name}`,
    );
  }
}

/** Asserts that the running thread may block. @param what the thing it would wait for */
export function checkMaySleep(what: string): void {
  const thread = sched.running;
  if (thread === null || thread.atomic === 0) return;
  const spinning = thread.held.filter((h) => h.cls.spins).map((h) => h.name);
  if (thread.rcuReaders > 0) spinning.push('an RCU read section');
  assert(
    false,
    () => `sleeping in atomic: ${thread.name} waits for ${what} inside ${spinning.join(', ')}`,
  );
}
