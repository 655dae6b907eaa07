/**
 * The language of differential runs: memory operations as plain data, performed alike by executor/ on the kernel that
 * runs and by model.ts in Faultline. A program is a list of them; one line of JSON an operation, or one line of words.
 */
import { must } from '../../base/assert.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';

/** Where the arena begins on both sides: across the border of two page-table pages, far from every other mapping. */
export const ARENA_PAGES = 48;
/** With huge pages the arena goes on, over four of them and as much again behind. */
export const HUGE_PAGES = 512;
export const BIG_ARENA_PAGES: number = ARENA_PAGES + 4 * HUGE_PAGES;
/** Where the first of them begins. */
export const FIRST_HUGE_PAGE = 24;
export const ARENA: number = 0x100000200000 - 24 * PAGE_SIZE;
/** The heap begins empty inside the arena. */
export const HEAP_PAGE = 40;
/** Offsets from here on name the source buffer of UFFDIO_COPY, which is always there. */
export const SOURCE_OFFSET = 0x100000000;
export const SOURCE_PAGES = 9;
/** Descriptors of userfaultfd(2) a program has. */
export const UFFD_SLOTS = 2;
/** Files of memfd_create(2) a program has. */
export const FILE_SLOTS = 2;

/**
 * What an operand is. `page`: a byte offset from the arena; `source`: that, or into the source buffer; `size`: bytes.
 */
export type OperandKind =
  | 'page'
  | 'source'
  | 'size'
  | 'prot'
  | 'map-flags'
  | 'advice'
  | 'mremap-flags'
  | 'slot'
  | 'file'
  | 'features'
  | 'mode'
  | 'number';

export interface Operation {
  readonly op: string;
  readonly args: readonly number[];
}
export type Program = readonly Operation[];

/** Every operation with what its operands are. A new one needs its line here, in executor/, in model.ts and c-program.ts. */
export const OPERATIONS: Readonly<Record<string, readonly OperandKind[]>> = {
  mmap: ['page', 'size', 'prot', 'map-flags'],
  munmap: ['page', 'size'],
  mprotect: ['page', 'size', 'prot'],
  madvise: ['page', 'size', 'advice'],
  mlock: ['page', 'size'],
  mlock2: ['page', 'size', 'number'],
  munlock: ['page', 'size'],
  mlockall: ['number'],
  munlockall: [],
  mseal: ['page', 'size', 'number'],
  mincore: ['page', 'size'],
  msync: ['page', 'size', 'number'],
  mremap: ['page', 'size', 'size', 'mremap-flags', 'page'],
  brk: ['page'],
  /** process_madvise(2) on oneself: two ranges, one advice. */
  process_madvise: ['page', 'size', 'page', 'size', 'advice'],
  /** PAGEMAP_SCAN: flags, inverted, mask, any-of and return masks, longest answer, most pages. */
  scan: ['page', 'size', 'mode', 'mode', 'mode', 'mode', 'mode', 'number', 'number'],
  /** Anywhere in a program: the arena is big, and MADV_HUGEPAGE has an effect. */
  thp: [],
  /** Anywhere in a program: there is a swap device while it runs. */
  swapon: [],
  memfd: ['file', 'number'],
  /** mmap of a file, from a byte offset on. */
  mapfile: ['page', 'size', 'prot', 'map-flags', 'file', 'size'],
  ftruncate: ['file', 'size'],
  fallocate: ['file', 'mode', 'size', 'size'],
  /** Into the arena, or into memory of our own. */
  pread: ['file', 'size', 'size', 'source'],
  pwrite: ['file', 'size', 'size', 'source'],
  lseek: ['file', 'size', 'number'],
  /** F_ADD_SEALS. */
  seal: ['file', 'mode'],
  closefile: ['file'],
  load: ['page'],
  store: ['page', 'number'],
  /** A child process that waits until it is switched to; the helper's (`~fork`) does nothing ever. */
  fork: [],
  switch: ['number'],
  /** Ends the child and goes on in the parent. */
  exit: [],
  uffd: ['slot', 'number'],
  /** From /dev/userfaultfd. */
  devuffd: ['slot', 'number'],
  api: ['slot', 'features', 'number'],
  register: ['slot', 'page', 'size', 'mode'],
  unregister: ['slot', 'page', 'size'],
  wake: ['slot', 'page', 'size'],
  copy: ['slot', 'page', 'source', 'size', 'mode'],
  move: ['slot', 'page', 'source', 'size', 'mode'],
  zeropage: ['slot', 'page', 'size', 'mode'],
  continue: ['slot', 'page', 'size', 'mode'],
  poison: ['slot', 'page', 'size', 'mode'],
  writeprotect: ['slot', 'page', 'size', 'mode'],
  read: ['slot', 'number'],
  poll: ['slot'],
  close: ['slot'],
  fdinfo: ['slot'],
  /** From now on ioctls find their struct, and read(2) its buffer, at an offset in the arena; -1: in memory of our own. */
  structs: ['number'],
};

/** Before an operation's name: a helper thread performs it, since it may wait. */
export const HELPER = '~';

/** What operands an operation has. Throws for one that there is not. */
export function operandsOf(op: string): readonly OperandKind[] {
  return must(OPERATIONS[op.replace(HELPER, '')], `operation ${op}`);
}

/** Pages of the arena of a program. */
export function arenaPagesOf(program: Program): number {
  return program.some(({ op }) => op === 'thp') ? BIG_ARENA_PAGES : ARENA_PAGES;
}

/** What both sides say of a program: for each operation its result and the state after it, then final states. */
export type Transcript = readonly string[];

/** The line of words that executor/ reads. */
export function wordsOf({ op, args }: Operation): string {
  return [op, ...args].join(' ');
}

/** A program out of lines of JSON or of words. Throws on anything else: the input is our own output. */
export function parseProgram(text: string): Program {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => (line.startsWith('{') ? fromJson(line) : fromWords(line)));
}

function fromJson(line: string): Operation {
  const { op, args } = JSON.parse(line) as Partial<Operation>;
  if (typeof op !== 'string' || !Array.isArray(args)) throw new Error(`no operation: ${line}`);
  operandsOf(op);
  return { op, args };
}

function fromWords(line: string): Operation {
  const [op = '', ...args] = line.trim().split(/\s+/);
  operandsOf(op);
  if (args.some((arg) => !/^-?\d+$/.test(arg))) throw new Error(`no operation: ${line}`);
  return { op, args: args.map(Number) };
}

export function printProgram(program: Program): string {
  return program.map((operation) => JSON.stringify(operation)).join('\n');
}

/** For people: `mprotect(page 3, 2 pages, 0x1)`. */
export function describe({ op, args }: Operation): string {
  const kinds = operandsOf(op);
  return `${op}(${args.map((arg, i) => describeOperand(kinds[i] ?? 'number', arg)).join(', ')})`;
}

function describeOperand(kind: OperandKind, value: number): string {
  switch (kind) {
    case 'page':
    case 'source':
      return value >= SOURCE_OFFSET
        ? `source${inPages(value - SOURCE_OFFSET, ' page ')}`
        : inPages(value, 'page ').trimStart();
    case 'size':
      return value % PAGE_SIZE === 0 ? `${value / PAGE_SIZE} pages` : `${value} bytes`;
    case 'slot':
      return `uffd ${value}`;
    case 'file':
      return `file ${value}`;
    default:
      return value < 10 ? String(value) : `0x${value.toString(16)}`;
  }
}

function inPages(offset: number, word: string): string {
  const rest = offset % PAGE_SIZE;
  return `${word}${(offset - rest) / PAGE_SIZE}${rest === 0 ? '' : `+${rest}`}`;
}
