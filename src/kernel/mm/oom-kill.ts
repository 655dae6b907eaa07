/**
 * Out of memory: the process with the most memory is killed, and a thread of the kernel takes its private memory without
 * waiting for it to end, since it may be waiting for whoever needs the memory.
 *
 *   choose | SIGKILL to all who share the address space | reaper: try mmap_lock | per VMA: zap | done, whether it worked or not
 *
 * Differs from Linux: pid 1 is not spared, since here it is the program itself; and where nobody is left to be killed, the
 * one who asked is, where Linux panics.
 *
 * @linux mm/oom_kill.c
 */
import { freeCell } from '../../machine/cells.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { access, until } from '../../sched/access.ts';
import { type Cell, cellOf, TRY_R, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { tryLockRead } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { SIGKILL } from '../../uapi/signal.ts';
import { CELL_OOM } from '../cells.ts';
import { groupExit } from '../core/signal.ts';
import { Task } from '../core/task.ts';
import { world } from '../current.ts';
import { FdTable } from '../fs/file.ts';
import type { Mm } from './mm-types.ts';
import { mmapReadUnlock } from './mmap-lock.ts';
import { tlbFinishMmu, tlbGatherMmu } from './mmu-gather.ts';
import {
  mmuNotifierInvalidateRangeEnd,
  mmuNotifierInvalidateRangeStartNonblock,
} from './mmu-notifier.ts';
import { markUnstable } from './oom-stable.ts';
import { totalSwapPages } from './swapfile.ts';
import { has, VM_HUGETLB, VM_PFNMAP, VM_SHARED, type VmFlags } from './vm-flags.ts';
import { unmapPageRange } from './zap.ts';

const KB = PAGE_SIZE / 1024;
/** @linux OOM_SCORE_ADJ_MIN, OOM_SCORE_ADJ_MAX */
export const OOM_SCORE_ADJ_MIN = -1000;
export const OOM_SCORE_ADJ_MAX = 1000;

/** What the OOM killer has done in a World; made when it is first needed. */
export class Oom {
  /** Who was killed, as the kernel's log has it. */
  readonly lines: string[] = [];
  /** Chosen, and neither gone nor reaped yet: nobody else is chosen meanwhile. */
  victim: Mm | null = null;
  /** Address spaces of which nothing more is to be had. @linux MMF_OOM_SKIP */
  readonly skip: Set<Mm> = new Set();
}

function oomCell(): Cell {
  return cellOf(CELL_OOM, 0);
}

/** Whether the victim chosen last has given up what it had. */
export function oomVictimGone(): boolean {
  const victim = world.oom?.victim ?? null;
  return victim === null || !world.mms.has(victim) || world.oom?.skip.has(victim) === true;
}

/**
 * Pages that killing a process would free, with what user space adds or takes away; null: it may not be killed.
 * @linux oom_badness
 */
export function oomBadness(task: Task, mm: Mm): number | null {
  const { oomScoreAdj } = task.group;
  if (oomScoreAdj === OOM_SCORE_ADJ_MIN || world.oom?.skip.has(mm) === true) return null;
  const { anon, file, shmem, swap } = mm.rss;
  const total = world.machine.frames.count + totalSwapPages();
  return anon + file + shmem + swap + mm.tables + Math.trunc((oomScoreAdj * total) / 1000);
}

/** The process with the most points; of equals the one that began first. @linux select_bad_process */
function selectBadProcess(): Task | null {
  let worst: Task | null = null;
  let most = Number.NEGATIVE_INFINITY;
  for (const task of world.tasks) {
    const { mm } = task;
    if (mm === null || !world.mms.has(mm)) continue;
    const points = oomBadness(task, mm);
    if (points === null || points <= most) continue;
    [worst, most] = [task, points];
  }
  return worst;
}

/**
 * Has a process killed, unless one is dying already: a step.
 * @returns false: there is nobody to kill. Requires: no lock that the victim's end needs for ever.
 * @linux out_of_memory
 */
export function* outOfMemory(): Steps<boolean> {
  if (sched.wants()) yield* access('out of memory', oomCell(), WRITE);
  if (!oomVictimGone()) return true;
  const victim = selectBadProcess() ?? world.current;
  const { mm } = victim;
  if (mm === null) return false;
  world.oom ??= new Oom();
  world.oom.victim = mm;
  world.oom.lines.push(killLine(victim, mm));
  sched.note(() => `killed: ${victim.name}`);
  for (const task of world.tasks) {
    if (task.mm !== mm || task !== task.group.leader) continue;
    // What SIGKILL comes to: all threads end. @linux complete_signal
    groupExit(task.group, SIGKILL);
  }
  startReaper(mm);
  return true;
}

/** A thread of the kernel, with free lists of its own where tasks have such. */
function startReaper(mm: Mm): void {
  const owner = world.machine.geometry.owners - 1;
  const task = new Task(0, 0, 'oom_reaper', mm, new FdTable(), 0, owner, null);
  task.mm = null;
  const thread = world.sched.spawn('oom_reaper', () => oomReaper(mm), true);
  task.thread = thread;
  world.taskOfThread.set(thread.id, task);
}

/** As the kernel's log has it. @linux __oom_kill_process */
function killLine(task: Task, mm: Mm): string {
  const { anon, file, shmem } = mm.rss;
  return (
    `Out of memory: Killed process ${task.tgid} (${task.name}) total-vm:${mm.totalVm * KB}kB, ` +
    `anon-rss:${anon * KB}kB, file-rss:${file * KB}kB, shmem-rss:${shmem * KB}kB, ` +
    `UID:${task.uid} pgtables:${mm.tables * KB}kB oom_score_adj:${task.group.oomScoreAdj}`
  );
}

/** Attempts at mmap_lock before the reaper gives a victim up. @linux MAX_OOM_REAP_RETRIES */
const MAX_OOM_REAP_RETRIES = 10;

/** How long it waits between two attempts, in ns. */
const REAP_RETRY_NS = 100_000_000;

/** Takes a victim's private memory; afterwards another may be chosen. @linux oom_reap_task */
function* oomReaper(mm: Mm): Steps<void> {
  for (let tries = 1; tries < MAX_OOM_REAP_RETRIES; tries++) {
    if (!world.mms.has(mm) || (yield* oomReapTaskMm(mm))) break;
    let late = false;
    const cancel = world.machine.clock.at(world.machine.clock.now + REAP_RETRY_NS, () => {
      late = true;
    });
    const ready = (): boolean => late || !mm.mmapLock.held || !world.mms.has(mm);
    yield* until('retry', mm.mmapLock.cell, TRY_R, ready, 'mmap_lock of the victim, for a while');
    cancel();
  }
  if (sched.wants()) yield* access('victim reaped', oomCell(), WRITE);
  sched.touch(oomCell(), WRITE);
  sched.touch(freeCell(), WRITE);
  world.oom?.skip.add(mm);
}

/**
 * Zaps what only the victim has, or what a fault can bring back from elsewhere.
 * @returns false: mmap_lock is held for writing, or an MMU notifier would have to wait, which the reaper never does. Requires: no lock. @linux oom_reap_task_mm
 */
export function* oomReapTaskMm(mm: Mm): Steps<boolean> {
  if (!(yield* tryLockRead(mm.mmapLock))) return false;
  const done = !world.mms.has(mm) || (yield* reapVmas(mm));
  mmapReadUnlock(mm);
  return done;
}

/** @returns whether all of it was done. Requires: mmap_lock for reading. @linux __oom_reap_task_mm */
function* reapVmas(mm: Mm): Steps<boolean> {
  if (sched.wants()) yield* access('unstable', cellOf(CELL_OOM, mm.id), WRITE);
  markUnstable(mm);
  let done = true;
  for (const vma of mm.vmas) {
    if (has(vma.flags, (VM_HUGETLB | VM_PFNMAP) as VmFlags)) continue;
    if (vma.file !== null && has(vma.flags, VM_SHARED)) continue;
    const { start, end } = vma;
    const range = yield* mmuNotifierInvalidateRangeStartNonblock(mm, 'unmap', start, end);
    if (typeof range === 'number') {
      done = false;
      continue;
    }
    const tlb = tlbGatherMmu(mm);
    yield* unmapPageRange(tlb, vma, start, end, { dropMarker: false, told: true });
    yield* mmuNotifierInvalidateRangeEnd(range);
    yield* tlbFinishMmu(tlb);
  }
  return done;
}
