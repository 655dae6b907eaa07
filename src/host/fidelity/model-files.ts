/** Operations on files, PAGEMAP_SCAN and process_madvise(2), performed in the model. */
import type { Task } from '../../kernel/core/task.ts';
import { fileInode } from '../../kernel/fs/regular-file.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import { F_ADD_SEALS } from '../../uapi/fcntl.ts';
import { decodeRegions, PAGEMAP_SCAN, PM_SCAN_ARG } from '../../uapi/pagemap-scan.ts';
import {
  addressText,
  BUFFER_AT,
  CONTENT_AT,
  CONTENT_PAGES,
  call,
  hashOf,
  offsetText,
  openPath,
  place,
  STRUCT_AT,
  windowAt,
} from './layout.ts';
import { SOURCE_OFFSET } from './operations.ts';
import { UNTOUCHED } from './structs.ts';

/** What an operation gives, or null when it is none of these. @param files descriptors by slot */
export function* performFile(
  task: Task,
  files: number[],
  op: string,
  args: readonly number[],
): Steps<string | null> {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = args;
  const fd = files[a] ?? -1;
  switch (op) {
    case 'process_madvise':
      return yield* adviseTwice(task, args);
    case 'scan':
      return yield* scan(task, args);
    case 'memfd':
      return yield* makeFile(task, files, a, b);
    case 'mapfile':
      return yield* addressText(
        task,
        yield* call(task, 'mmap', [place(a), b, c, d, files[e] ?? -1, f]),
        b,
      );
    case 'ftruncate':
      return String(yield* call(task, 'ftruncate', [fd, b]));
    case 'fallocate':
      return String(yield* call(task, 'fallocate', [fd, b, c, d]));
    case 'pread':
      return yield* readFile(task, fd, args);
    case 'pwrite':
      return String(yield* call(task, 'pwrite64', [fd, place(d), c, b]));
    case 'lseek':
      return String(yield* call(task, 'lseek', [fd, b, c]));
    case 'seal':
      return String(yield* call(task, 'fcntl', [fd, F_ADD_SEALS, b]));
    case 'closefile':
      files[a] = -1;
      return String(yield* call(task, 'close', [fd]));
    default:
      return null;
  }
}

/** Size, pages and seals of every file, as executor/ has it from fstat(2). */
export function filesLine(task: Task, files: readonly number[]): string {
  let line = 'D';
  for (const [slot, fd] of files.entries()) {
    const file = fd < 0 ? null : task.files.get(fd);
    if (file === null) continue;
    const inode = fileInode(file);
    line += ` ${slot}: size ${inode.size} pages ${inode.mapping.pages.size + (inode.mapping.swapped?.size ?? 0)} seals ${inode.seals.toString(16)}`;
  }
  return line;
}

function* makeFile(task: Task, files: number[], slot: number, flags: number): Steps<string> {
  const name = windowAt(task, BUFFER_AT, 8);
  for (const [i, letter] of [...'file\0'].entries()) name.setUint8(i, letter.charCodeAt(0));
  const made = yield* call(task, 'memfd_create', [BUFFER_AT, flags]);
  if (made < 0) return String(made);
  const before = files[slot] ?? -1;
  if (before >= 0) yield* call(task, 'close', [before]);
  files[slot] = made;
  return '0';
}

function* readFile(task: Task, fd: number, args: readonly number[]): Steps<string> {
  const [, from = 0, size = 0, to = 0] = args;
  const own = to >= SOURCE_OFFSET;
  const content = windowAt(task, CONTENT_AT, CONTENT_PAGES * PAGE_SIZE);
  for (let i = 0; i < content.byteLength; i += 8) content.setBigUint64(i, 0n);
  const buffer = own ? CONTENT_AT : place(to);
  const result = yield* call(task, 'pread64', [fd, buffer, size, from]);
  return own ? `${result} ${hashOf(content)}` : String(result);
}

function* adviseTwice(task: Task, args: readonly number[]): Steps<string> {
  const [a = 0, b = 0, c = 0, d = 0, advice = 0] = args;
  const vector = windowAt(task, BUFFER_AT, 32);
  for (const [i, word] of [place(a), b, place(c), d].entries()) {
    vector.setBigInt64(i * 8, BigInt(word), true);
  }
  const self = yield* call(task, 'pidfd_open', [task.group.leader.tid, 0]);
  const result = yield* call(task, 'process_madvise', [self, BUFFER_AT, 2, advice, 0]);
  yield* call(task, 'close', [self]);
  return String(result);
}

function* scan(task: Task, args: readonly number[]): Steps<string> {
  const [page = 0, size = 0, flags = 0, inv = 0, mask = 0, any = 0, ret = 0, vec = 0, max = 0] =
    args;
  const pagemap = yield* openPath(task, '/proc/self/pagemap', 0);
  const start = place(page);
  const fields = [PM_SCAN_ARG.size, flags, start, start + size, 0, BUFFER_AT, vec, max];
  const ask = windowAt(task, STRUCT_AT, PM_SCAN_ARG.size);
  for (const [i, word] of [...fields, inv, mask, any, ret].entries()) {
    ask.setBigInt64(i * 8, i === 4 ? UNTOUCHED : BigInt(word), true);
  }
  const count = yield* call(task, 'ioctl', [pagemap, PAGEMAP_SCAN, STRUCT_AT]);
  yield* call(task, 'close', [pagemap]);
  const end = ask.getBigUint64(32, true);
  const bytes = windowAt(task, BUFFER_AT, 24 * Math.max(0, count));
  const found = decodeRegions(
    new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    Math.max(0, count),
  );
  const regions = found.map(
    (r) => ` [${offsetText(r.start)} ${offsetText(r.end)} ${r.categories.toString(16)}]`,
  );
  const walked = end === UNTOUCHED ? 'untouched' : offsetText(Number(end));
  return [`${count} ${walked}`, ...regions].join('');
}
