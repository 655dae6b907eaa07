/**
 * `adversary pageout A`: background actors, which come at any point of a schedule or after everything. Each page of what is
 * named has an actor of its own that acts once.
 */
import { must } from '../base/assert.ts';
import { createThread } from '../kernel/core/create.ts';
import { referencedAddress } from '../kernel/mm/folio-referenced.ts';
import { khugepagedScan } from '../kernel/mm/khugepaged.ts';
import { ksmScanPage } from '../kernel/mm/ksm.ts';
import { poisonAddress, softOfflineAddress } from '../kernel/mm/memory-failure.ts';
import { migrateAddress } from '../kernel/mm/migrate.ts';
import type { Mm, Vaddr } from '../kernel/mm/mm-types.ts';
import { reclaimAddress } from '../kernel/mm/vmscan.ts';
import type { Steps } from '../sched/op.ts';
import type { LitmusTest, Operand, Statement } from './ast.ts';
import { didYouMean, LitmusError } from './error.ts';
import { PAGE, type Scope } from './scope.ts';
import type { RunState } from './state.ts';

/** What an actor does to the page at an address. */
type Act = (mm: Mm, address: Vaddr) => Steps<void>;

/** One actor, on its way to one page. */
export interface Actor {
  readonly name: string;
  readonly act: Act;
  readonly address: number;
  readonly process: string | null;
}

export const ADVERSARY_USAGE = 'adversary pageout A';
const ACTS: Readonly<Record<string, Act>> = {
  pageout: reclaimAddress,
  migrate: migrateAddress,
  hwpoison: poisonAddress,
  soft_offline: softOfflineAddress,
  khugepaged: khugepagedScan,
  ksm: ksmScanPage,
  referenced: referencedAddress,
};

/** Every actor there is. */
export const ACTORS: readonly string[] = Object.keys(ACTS);

type Call = Statement & { readonly kind: 'call' };

export function isAdversary(s: Statement): s is Call {
  return s.kind === 'call' && s.verb === 'adversary';
}

/** The actors that set-up asks for. Requires: its regions have been placed. @throws LitmusError */
export function compileActors(test: LitmusTest, scope: Scope): Actor[] {
  return test.setup.filter(isAdversary).flatMap((s) => actorsOf(s, scope));
}

function actorsOf(s: Call, scope: Scope): Actor[] {
  const actors: Actor[] = [];
  let what: string | null = null;
  for (const operand of s.operands) {
    if (what === null) {
      what = actorWord(operand);
      continue;
    }
    const act = must(ACTS[what], 'actor');
    for (const { address, process } of pagesOf(operand, scope)) {
      actors.push({ name: `${what} ${scope.placeName(address)}`, act, address, process });
    }
    what = null;
  }
  if (actors.length === 0 || what !== null) {
    const usage = `adversary ${what ?? 'pageout'} A`;
    throw new LitmusError(`adversary ${what ?? 'pageout'} wants pages`, s.pos, usage);
  }
  return actors;
}

/** Pages that the file names by number, so that how many actors there are is known before anything runs. */
function pagesOf(
  operand: Operand,
  scope: Scope,
): readonly { readonly address: number; readonly process: string | null }[] {
  if (operand.kind !== 'word' && operand.kind !== 'place') {
    throw new LitmusError('pages are wanted here', operand.pos, ADVERSARY_USAGE);
  }
  const name = operand.kind === 'word' ? operand.name : operand.region;
  const region = scope.region(name, operand.pos);
  let [first, last] = [0, region.pages - 1];
  if (operand.kind === 'place') {
    const until = operand.last ?? operand.first;
    if (typeof operand.first !== 'number' || typeof until !== 'number' || until > last) {
      throw new LitmusError('pages are named by number here', operand.pos, `${name}[0]`);
    }
    [first, last] = [operand.first, until];
  }
  const { start, process } = region;
  return Array.from({ length: last - first + 1 }, (_, i) => ({
    address: start + (first + i) * PAGE,
    process,
  }));
}

function actorWord(operand: Operand): string {
  const name = operand.kind === 'word' ? operand.name : '';
  if (ACTS[name] !== undefined) return name;
  throw new LitmusError(
    name === '' ? 'a background actor is wanted here' : `no background actor is called ${name}`,
    operand.pos,
    didYouMean(name, ACTORS, ADVERSARY_USAGE),
  );
}

function bringsSwap(s: Statement): boolean {
  return isAdversary(s) && s.operands.some((o) => o.kind === 'word' && o.name === 'pageout');
}

/** Whether pages of the test can go to a swap device: then its world has one. */
export function usesSwap(test: LitmusTest): boolean {
  return (
    test.setup.some(bringsSwap) || /"(?:(?:MADV_)?PAGEOUT|swapoff)"/.test(JSON.stringify(test))
  );
}

/** Lets an actor loose. @param index its place behind the strands: whose free lists it uses */
export function spawnActor(
  run: RunState,
  { name, act, address, process }: Actor,
  index: number,
): void {
  const { world } = run;
  const mainTask = run.taskOf(process);
  const task = createThread(mainTask, { name, hart: 0, owner: index });
  const { mmOrDie: mm } = mainTask;
  const thread = world.sched.spawn(name, () => act(mm, address), true);
  task.thread = thread;
  world.taskOfThread.set(thread.id, task);
  mm.harts.delete(0);
}
