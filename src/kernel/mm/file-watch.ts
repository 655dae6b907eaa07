/**
 * Write protection of a file instead of a page table: what the mail of August 2021 dreams of, as docs/proposals.md spells it
 * out. No kernel has it: `mayWatchFiles` is false but for the patch that proposes it.
 *
 *   register   a userfaultfd watches a memfd: it hears of writes to protected pages, through whatever mapping or write(2)
 *   protect    page by page under its lock: marked, and made read-only in every mapping
 *   a write    asks the file first (page_mkwrite, write(2)) and waits there while the page is marked
 *   unprotect  takes the mark away and wakes who waits for the page; mappings become writable with their next write
 */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Pfn } from '../../machine/pte.ts';
import { type Cell, READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { lock, unlock } from '../../sched/lock.ts';
import type { Steps } from '../../sched/op.ts';
import { sleep } from '../../sched/wait.ts';
import { EBUSY, EINVAL } from '../../uapi/errno.ts';
import { UFFD_PAGEFAULT_FLAG_WP, UFFD_PAGEFAULT_FLAG_WRITE } from '../../uapi/userfaultfd.ts';
import { CELL_INODE } from '../cells.ts';
import type { Inode } from '../fs/inode.ts';
import { remove, wakeUserfault } from '../fs/userfaultfd.ts';
import { UffdWait, type UserfaultfdCtx } from '../fs/userfaultfd-ctx.ts';
import { seam } from '../seam.ts';
import { filemapLockFolio, folioStillCached } from './filemap.ts';
import { folioLock, folioUnlock, folioUnlockPut } from './folio-lock.ts';
import { folioMkclean } from './page-writeback.ts';
import { folioMarkDirty } from './rmap.ts';

/** Who watches a file, and which of its pages are protected. */
export class FileWatch {
  readonly ctx: UserfaultfdCtx;
  readonly pages: Set<number> = new Set();
  readonly cell: Cell = sched.newCell(CELL_INODE);

  constructor(ctx: UserfaultfdCtx) {
    this.ctx = ctx;
  }
}

/** Whether files can be watched. */
export const mayWatchFiles = seam('file-watch.mayWatchFiles', (): boolean => false);

/** @returns 0, -EINVAL where there is no such thing, -EBUSY when somebody else watches */
export function watchFile(ctx: UserfaultfdCtx, inode: Inode): number {
  if (!mayWatchFiles()) return -EINVAL;
  if (inode.watch !== null && inode.watch.ctx !== ctx) return -EBUSY;
  inode.watch ??= new FileWatch(ctx);
  return 0;
}

/** Whether a page is protected now. */
function isProtected({ watch }: Inode, index: number): boolean {
  if (watch === null) return false;
  sched.touch(watch.cell, READ);
  return watch.pages.has(index) && !watch.ctx.isReleased();
}

/** Protects a page in the file itself. Requires: the file is watched; no lock. */
export function* protectFilePage(inode: Inode, index: number): Steps<number> {
  const { watch, mapping } = inode;
  if (watch === null) return -EINVAL;
  const pfn = yield* filemapLockFolio(mapping, index);
  sched.touch(watch.cell, WRITE);
  watch.pages.add(index);
  if (pfn === 0) return 0;
  if (yield* folioMkclean(mapping, pfn)) folioMarkDirty(pfn);
  folioUnlockPut(pfn);
  return 0;
}

/** Lets a page be written again. */
export function* unprotectFilePage(inode: Inode, index: number): Steps<number> {
  const { watch } = inode;
  if (watch === null) return -EINVAL;
  yield* lock(watch.ctx.queueLock);
  sched.touch(watch.cell, WRITE);
  watch.pages.delete(index);
  unlock(watch.ctx.queueLock);
  yield* wakeUserfault(watch.ctx, index * PAGE_SIZE, PAGE_SIZE);
  return 0;
}

/** Waits until a page may be written: with every lock that its caller holds, as for a file system that is frozen. */
export function* untilWritable(inode: Inode, index: number): Steps<void> {
  const { watch } = inode;
  while (watch !== null && isProtected(inode, index)) {
    const { ctx } = watch;
    const flags = UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP;
    const wait = new UffdWait({ event: 'pagefault', flags, address: index * PAGE_SIZE, ptid: 0 });
    yield* lock(ctx.queueLock);
    sched.touch(ctx.queueCell, WRITE);
    ctx.pendingFaults.push(wait);
    const waits = isProtected(inode, index);
    if (!waits) remove(ctx.pendingFaults, wait);
    unlock(ctx.queueLock);
    if (!waits) return;
    ctx.notifyPollers();
    yield* sleep(wait.sleeper, 'killable', 'who watches the file');
  }
}

/** What page_mkwrite comes to for a watched file. @returns true with the folio locked, as pageMkwrite */
export function* watchedMkwrite(inode: Inode, index: number, pfn: Pfn): Steps<boolean> {
  for (;;) {
    yield* untilWritable(inode, index);
    yield* folioLock(pfn);
    const cached = folioStillCached(inode.mapping, index, pfn);
    if (cached && !isProtected(inode, index)) {
      folioMarkDirty(pfn);
      return true;
    }
    folioUnlock(pfn);
    if (!cached) return false;
  }
}
