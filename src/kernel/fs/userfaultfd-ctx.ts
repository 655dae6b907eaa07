/**
 * What stands behind a userfaultfd: one address space, the features asked for, and who waits for user space.
 * @linux fs/userfaultfd.c struct userfaultfd_ctx, include/linux/userfaultfd_k.h
 */
import { ADD, type Cell, READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { Lock } from '../../sched/lock.ts';
import { Sleeper } from '../../sched/wait.ts';
import type { UffdMsg } from '../../uapi/userfaultfd.ts';
import { CELL_UFFD_CTX, CELL_UFFD_QUEUE, CELL_WOKEN } from '../cells.ts';
import { MAP_CHANGING_LOCK, UFFD_QUEUE_LOCK } from '../lock-classes.ts';
import type { Mm, Vaddr } from '../mm/mm-types.ts';

/** One waiter and its message: a faulting thread, or a system call that announces an event. @linux userfaultfd_wait_queue */
export class UffdWait {
  readonly msg: UffdMsg;
  readonly sleeper: Sleeper = new Sleeper(CELL_WOKEN);
  /** For FORK: the context that becomes a descriptor in whoever reads the message. */
  readonly newCtx: UserfaultfdCtx | null;
  /** The page a fault waits for, for WAKE; events are not woken by ranges. */
  readonly address: Vaddr;
  /** An event whose message somebody has read. */
  taken = false;

  constructor(msg: UffdMsg, newCtx: UserfaultfdCtx | null = null) {
    this.msg = msg;
    this.newCtx = newCtx;
    this.address = msg.event === 'pagefault' ? msg.address : -1;
  }
}

export class UserfaultfdCtx {
  /** The creator's address space, whoever holds the descriptor. Immutable. */
  readonly mm: Mm;
  /** O_CLOEXEC, O_NONBLOCK and UFFD_USER_MODE_ONLY as given to userfaultfd(2). Immutable. */
  readonly flags: number;
  /** UFFD_FEATURE_* asked for; -1 before the handshake. Set once. */
  features = -1;
  /** The descriptor is closed: nobody waits on it any more. Set once; read without a lock. */
  released = false;
  /**
   * Changes of the address space whose event nobody has read yet: while it is above 0, fills give EAGAIN.
   * Raised under map_changing_lock for writing, lowered without a lock.
   */
  mmapChanging = 0;
  readonly mapChangingLock: Lock;
  /** Protects the three lists. Linux has a lock each, nested; nothing runs between them. */
  readonly queueLock: Lock;
  /** Faults nobody has read. FIFO. Protected by queueLock. */
  readonly pendingFaults: UffdWait[] = [];
  /** Faults that were read and still wait. Protected by queueLock. */
  readonly faults: UffdWait[] = [];
  /** Events nobody has read. FIFO. Protected by queueLock. */
  readonly events: UffdWait[] = [];
  /** Stands for the three lists. */
  readonly queueCell: Cell;
  readonly releasedCell: Cell;
  readonly changingCell: Cell;
  readonly featuresCell: Cell;
  private readonly pollers: Set<() => void> = new Set();

  constructor(mm: Mm, flags: number) {
    this.mm = mm;
    this.flags = flags;
    this.mapChangingLock = new Lock(MAP_CHANGING_LOCK, 'map_changing_lock');
    this.queueLock = new Lock(UFFD_QUEUE_LOCK, 'userfaultfd queue lock');
    this.queueCell = sched.newCell(CELL_UFFD_QUEUE);
    this.releasedCell = sched.newCell(CELL_UFFD_CTX);
    this.changingCell = sched.newCell(CELL_UFFD_CTX);
    this.featuresCell = sched.newCell(CELL_UFFD_CTX);
  }

  get initialized(): boolean {
    sched.touch(this.featuresCell, READ);
    return this.features >= 0;
  }

  /** Whether a feature was asked for in the handshake. A context with registered VMAs has had its handshake. */
  has(feature: number): boolean {
    return this.features >= 0 && (this.features & feature) !== 0;
  }

  setFeatures(features: number): void {
    sched.touch(this.featuresCell, WRITE);
    this.features = features;
  }

  isReleased(): boolean {
    sched.touch(this.releasedCell, READ);
    return this.released;
  }

  setReleased(): void {
    sched.touch(this.releasedCell, WRITE);
    this.released = true;
  }

  /** Looks at the counter that makes fills give EAGAIN. */
  isMmapChanging(): boolean {
    sched.touch(this.changingCell, READ);
    return this.mmapChanging > 0;
  }

  addMmapChanging(delta: 1 | -1): void {
    sched.touch(this.changingCell, ADD);
    this.mmapChanging += delta;
  }

  /** Whether read(2) would find a message. */
  get readable(): boolean {
    return this.pendingFaults.length > 0 || this.events.length > 0;
  }

  subscribe(wake: () => void): () => void {
    this.pollers.add(wake);
    return () => {
      this.pollers.delete(wake);
    };
  }

  /** Tells pollers to look again. Readers watch queueCell themselves. */
  notifyPollers(): void {
    for (const wake of this.pollers) wake();
  }
}
