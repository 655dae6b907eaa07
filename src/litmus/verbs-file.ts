/** Verbs for files: `memfd F 2 pages` in shared memory, `file F 2 pages` on a disk, `truncate F 1`, `punch F 0`, `write F 0 42`, `r = read F 0`. */
import { access } from '../sched/access.ts';
import { READ } from '../sched/cell.ts';
import { sched } from '../sched/current.ts';
import { AT_FDCWD, O_RDWR, O_TMPFILE } from '../uapi/fcntl.ts';
import type { Operand } from './ast.ts';
import { type Call, resultOf, rowOf } from './calls.ts';
import { LitmusError } from './error.ts';
import { type Eval, fdOf } from './operands.ts';
import { PAGE } from './scope.ts';
import { MESSAGE_AT, messageBytes, putStruct, STRUCT_AT } from './scratch.ts';
import { atMost, numberOf, type Verb, type VerbContext, want } from './verb.ts';

const MEMFD_WORDS: Readonly<Record<string, number>> = { sealing: 2, hugetlb: 4 };
const PUNCH_KEEP_SIZE = 3;
const WORD_BYTES = 4;
/** `/` and its NUL, as the first bytes of a word. */
const ROOT = 0x2f;

const MEMFD_USAGE = 'memfd F 4 pages [sealing] [hugetlb]';
const FILE_USAGE = 'file F 2 pages';
const DISK_USAGE = 'd = disk F 0';
const TRUNCATE_USAGE = 'truncate F 1';
const PUNCH_USAGE = 'punch F 0 [1]';
const WRITE_USAGE = 'write F 0 42';

export const FILE_VERBS: Readonly<Record<string, Verb>> = {
  memfd: { usage: MEMFD_USAGE, compile: compileMemfd },
  file: { usage: FILE_USAGE, compile: compileFile },
  truncate: { usage: TRUNCATE_USAGE, compile: compileTruncate },
  punch: { usage: PUNCH_USAGE, compile: compilePunch },
  write: { usage: WRITE_USAGE, compile: compileWrite },
  disk: { usage: DISK_USAGE, compile: compileDisk },
};

/** A file and its size in pages. Its name is what /proc/PID/maps shows. */
function compileMemfd(c: VerbContext): Call {
  const { name, bytes, rest } = nameAndSize(c, 'memfd', MEMFD_USAGE);
  let flags = 0;
  for (const word of rest) {
    const flag = word.kind === 'word' ? MEMFD_WORDS[word.name] : undefined;
    if (flag === undefined) {
      throw new LitmusError('memfd knows `sealing` and `hugetlb` here', word.pos, MEMFD_USAGE);
    }
    flags |= flag;
  }
  const slot = c.scope.addFile(name.name, name.pos);
  c.scope.memfds.add(name.name);
  const create = rowOf('memfd_create').handler;
  const truncate = rowOf('ftruncate').handler;
  const letters = [...name.name].slice(0, 6).map((l) => l.charCodeAt(0) & 0x7f);
  return function* (run, task) {
    putStruct(task, [letters.reduceRight((sum, code) => sum * 256 + code, 0)]);
    const fd = yield* create(task, [STRUCT_AT, flags]);
    if (fd < 0) return resultOf(fd);
    run.fds[slot] = fd;
    return resultOf(yield* truncate(task, [fd, bytes]));
  };
}

interface NameAndSize {
  readonly name: Operand & { readonly kind: 'word' };
  readonly bytes: number;
  readonly rest: readonly Operand[];
}

/** What `memfd F 2 pages` and `file F 2 pages` have in common. */
function nameAndSize(c: VerbContext, what: string, usage: string): NameAndSize {
  const [name, size, unit, ...rest] = c.operands;
  if (name?.kind !== 'word') throw new LitmusError(`${what} wants a name`, c.pos, usage);
  if (c.strand.kind !== 'setup') {
    throw new LitmusError(`a ${what} is made in the set-up`, c.pos, 'move it above');
  }
  const pages = unit?.kind === 'word' && ['page', 'pages'].includes(unit.name);
  if (size?.kind !== 'number' || !pages || size.value < 0 || size.value > 64) {
    throw new LitmusError(`${what} wants its size, 0 to 64 pages`, c.pos, usage);
  }
  return { name, bytes: size.value * PAGE, rest };
}

/** A file on the disk without a name there: empty blocks, and nothing of it in memory. */
function compileFile(c: VerbContext): Call {
  const { name, bytes, rest } = nameAndSize(c, 'file', FILE_USAGE);
  if (rest[0] !== undefined) {
    throw new LitmusError('nothing follows the size', rest[0].pos, FILE_USAGE);
  }
  const slot = c.scope.addFile(name.name, name.pos);
  c.scope.disks.add(name.name);
  const open = rowOf('openat').handler;
  const truncate = rowOf('ftruncate').handler;
  return function* (run, task) {
    putStruct(task, [ROOT]);
    const fd = yield* open(task, [AT_FDCWD, STRUCT_AT, O_TMPFILE | O_RDWR, 0o600]);
    if (fd < 0) return resultOf(fd);
    run.fds[slot] = fd;
    return resultOf(yield* truncate(task, [fd, bytes]));
  };
}

/** The size of a file in pages. */
function compileTruncate(c: VerbContext): Call {
  const fd = fileOf(c, TRUNCATE_USAGE);
  const pages = numberAt(c, 1, 'a number of pages', TRUNCATE_USAGE);
  atMost(c, 2, TRUNCATE_USAGE);
  const { handler } = rowOf('ftruncate');
  return function* (run, task) {
    return resultOf(yield* handler(task, [fd(run), pages(run) * PAGE]));
  };
}

/** A hole of one page, or of as many as the last number says. */
function compilePunch(c: VerbContext): Call {
  const fd = fileOf(c, PUNCH_USAGE);
  const page = numberAt(c, 1, 'a page', PUNCH_USAGE);
  const count = c.operands.length > 2 ? numberAt(c, 2, 'how many pages', PUNCH_USAGE) : () => 1;
  atMost(c, 3, PUNCH_USAGE);
  const { handler } = rowOf('fallocate');
  return function* (run, task) {
    const args = [fd(run), PUNCH_KEEP_SIZE, page(run) * PAGE, count(run) * PAGE];
    return resultOf(yield* handler(task, args));
  };
}

/** write(2) of a word at the start of a page of a memfd. @returns 0, or what went wrong */
function compileWrite(c: VerbContext): Call {
  const fd = fileOf(c, WRITE_USAGE);
  const page = numberAt(c, 1, 'a page', WRITE_USAGE);
  const value = numberAt(c, 2, 'a value', WRITE_USAGE);
  atMost(c, 3, WRITE_USAGE);
  const { handler } = rowOf('pwrite64');
  return function* (run, task) {
    putStruct(task, [value(run)]);
    const args = [fd(run), STRUCT_AT, WORD_BYTES, page(run) * PAGE];
    const wrote = yield* handler(task, args);
    return wrote === WORD_BYTES ? 0 : resultOf(wrote);
  };
}

/** `r = read F 0`: the word a page of a memfd begins with; `short` beyond its end. */
export function compileFileRead(c: VerbContext): Call {
  const usage = 'r = read F 0';
  const fd = fileOf(c, usage);
  const page = numberAt(c, 1, 'a page', usage);
  atMost(c, 2, usage);
  const { handler } = rowOf('pread64');
  return function* (run, task) {
    const got = yield* handler(task, [fd(run), MESSAGE_AT, WORD_BYTES, page(run) * PAGE]);
    if (got !== WORD_BYTES) return got < 0 ? resultOf(got) : 'short';
    const { buffer, byteOffset } = messageBytes(task);
    return new DataView(buffer, byteOffset).getInt32(0, true);
  };
}

/** `d = disk F 0`: the word that the disk has where a page of a file begins, whatever memory has. */
function compileDisk(c: VerbContext): Call {
  const [name] = c.operands;
  if (name?.kind !== 'word' || !c.scope.disks.has(name.name)) {
    throw new LitmusError('disk wants the name of a file on a disk', c.pos, DISK_USAGE);
  }
  const fd = fileOf(c, DISK_USAGE);
  const page = numberAt(c, 1, 'a page', DISK_USAGE);
  atMost(c, 2, DISK_USAGE);
  return function* (run, task) {
    const disk = task.files.get(fd(run))?.inode?.mapping.disk ?? null;
    if (disk === null) return 'none';
    const index = page(run);
    if (sched.wants()) yield* access('look at the disk', disk.cell(index), READ);
    const block = disk.blocks.get(index);
    if (block === undefined) return 0;
    return new DataView(block.buffer, block.byteOffset).getInt32(0, true);
  };
}

/** Whether the first operand is the name of a file with pages. */
export function namesFile(c: Pick<VerbContext, 'scope' | 'operands'>): boolean {
  const [file] = c.operands;
  if (file?.kind !== 'word') return false;
  return c.scope.memfds.has(file.name) || c.scope.disks.has(file.name);
}

function fileOf(c: VerbContext, usage: string): Eval<number> {
  return fdOf(c.scope, c.strand, want(c, 0, 'the name of a file', usage));
}

function numberAt(c: VerbContext, index: number, what: string, usage: string): Eval<number> {
  return numberOf(c, want(c, index, what, usage));
}
