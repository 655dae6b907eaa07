/**
 * `promise data`: a load gives what was last stored to the same page, through whichever mapping (I-DATA), and zero after
 * MADV_DONTNEED of private memory (I-ZAP); a forked child finds what its parent had. Whatever the kernel does of its own
 * accord in between (swap, migration, merging, huge pages) may not show.
 *
 * Silent about what it cannot know: while a call that may change contents runs, and until the next access after it.
 */
import { CELL_TEST } from '../kernel/cells.ts';
import type { Task } from '../kernel/core/task.ts';
import { vmaInode } from '../kernel/mm/filemap.ts';
import type { Mm } from '../kernel/mm/mm-types.ts';
import { linearPageIndex } from '../kernel/mm/rmap.ts';
import { has, VM_SHARED, VM_WIPEONFORK } from '../kernel/mm/vm-flags.ts';
import { type Cell, cellOf, READ, WRITE } from '../sched/cell.ts';
import { sched } from '../sched/current.ts';
import type { Statement } from './ast.ts';
import type { Access, Span, Watcher } from './promise.ts';
import { PAGE } from './scope.ts';
import { BrokenRule } from './state.ts';

/** What a call does to contents: leaves them, may change any of them, or drops those it is given. */
export type ContentEffect = 'none' | 'any' | 'drops';

const HARMLESS: ReadonlySet<string> = new Set([
  ...['load', 'store', 'uffd', 'register', 'unregister', 'writeprotect', 'unprotect', 'wake'],
  ...['read', 'poll', 'pagemap', 'pagemap_scan', 'mincore', 'wait', 'exit', 'close', 'clear_refs'],
  ...['mprotect', 'mlock', 'mlock2', 'munlock', 'mlockall', 'munlockall', 'msync', 'pin', 'unpin'],
  ...['adversary', 'config', 'memfd', 'disk'],
]);
const HARMLESS_ADVICE =
  /^(MADV_)?(NORMAL|RANDOM|SEQUENTIAL|WILLNEED|DONTFORK|DOFORK|MERGEABLE|UNMERGEABLE|HUGEPAGE|NOHUGEPAGE|COLD|PAGEOUT|POPULATE_READ|POPULATE_WRITE|COLLAPSE)$/;

/** Going by the words of a statement. */
export function contentEffect({
  verb,
  operands,
}: Statement & { readonly kind: 'call' }): ContentEffect {
  if (HARMLESS.has(verb)) return 'none';
  if (verb !== 'madvise') return 'any';
  const words = operands.map((o) => (o.kind === 'word' ? o.name : ''));
  if (words.some((word) => HARMLESS_ADVICE.test(word))) return 'none';
  return words.some((word) => /^(MADV_)?DONTNEED$/.test(word)) ? 'drops' : 'any';
}

export class DataPromise implements Watcher {
  readonly name = 'data';
  /** What each word holds, by the page's identity and the offset in it. */
  private readonly known: Map<string, number> = new Map();
  /** Calls under way that may change contents. */
  private inFlight = 0;
  /** Stores so far, and beginnings and ends of such calls: a call during which nothing else happened knows what it left. */
  private changes = 0;
  private readonly place: (address: number) => string;

  constructor(place: (address: number) => string) {
    this.place = place;
  }

  arm(): void {}
  lift(): void {}

  /** @throws BrokenRule */
  accessed(task: Task, address: number, how: Access, value: number): void {
    const page = identityOf(task.mm, address);
    if (page === null) return;
    sched.touch(WHOLE, READ);
    sched.touch(page.cell, how === 'read' ? READ : WRITE);
    if (how === 'wrote') this.changes++;
    if (this.inFlight > 0) return;
    const word = `${page.key}+${address % PAGE}`;
    const before = this.known.get(word);
    this.known.set(word, value);
    if (how === 'wrote' || before === undefined || before === value) return;
    throw new BrokenRule(
      'promise data',
      `${task.name} read ${value} from ${this.place(address)}, which holds ${before}`,
    );
  }

  /** A call that may change contents begins. @returns what to tell `calm` */
  upset(): number {
    sched.touch(WHOLE, WRITE);
    this.inFlight++;
    this.known.clear();
    return ++this.changes;
  }

  /** It ends. @param dropped private pages that are empty now, unless somebody wrote meanwhile */
  calm(task: Task, since: number, dropped: Span | null): void {
    sched.touch(WHOLE, WRITE);
    this.inFlight--;
    const alone = this.inFlight === 0 && since === this.changes;
    this.changes++;
    if (dropped === null || !alone) return;
    const [start, length] = dropped;
    for (let address = start; address < start + length; address += PAGE) {
      const page = identityOf(task.mm, address);
      if (page?.anonymous === true) this.known.set(`${page.key}+0`, 0);
    }
  }

  /** A process has forked: the child finds what the parent has, where nobody wrote meanwhile. */
  forked(parent: Mm, child: Mm, since: number): void {
    sched.touch(WHOLE, WRITE);
    if (this.inFlight > 0 || since !== this.changes) return;
    const prefix = `${parent.id}:`;
    for (const [word, value] of [...this.known]) {
      if (!word.startsWith(prefix)) continue;
      const place = word.slice(prefix.length);
      const vma = child.vmas.find(Number.parseInt(place, 10) * PAGE);
      if (vma !== null && !has(vma.flags, VM_WIPEONFORK))
        this.known.set(`${child.id}:${place}`, value);
    }
  }

  /** What `forked` wants to know. */
  get changesSoFar(): number {
    sched.touch(WHOLE, READ);
    return this.changes;
  }
}

interface Identity {
  readonly key: string;
  readonly cell: Cell;
  /** Private memory that begins with zeroes. */
  readonly anonymous: boolean;
}

/** Which page an address is, whoever maps it; null where a private mapping of a file may or may not have its own copy. */
function identityOf(mm: Mm | null, address: number): Identity | null {
  const vma = mm?.vmas.find(address) ?? null;
  if (mm === null || vma === null) return null;
  const page = Math.floor(address / PAGE);
  if (vma.file === null) {
    const cell = cellOf(CELL_TEST, PRIVATE_CELLS + mm.id * 2 ** 24 + (page % 2 ** 24));
    return { key: `${mm.id}:${page}`, cell, anonymous: true };
  }
  const mapping = vmaInode(vma)?.mapping;
  if (mapping === undefined || !has(vma.flags, VM_SHARED)) return null;
  const index = linearPageIndex(vma, page * PAGE);
  const cell = cellOf(CELL_TEST, FILE_CELLS + mapping.id * 2 ** 20 + index);
  return { key: `file ${mapping.id}:${index}`, cell, anonymous: false };
}

const PRIVATE_CELLS = 2 ** 32;
const FILE_CELLS = 2 ** 40;
const WHOLE = cellOf(CELL_TEST, 1);
