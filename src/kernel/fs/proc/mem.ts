/**
 * /proc/PID/mem: the memory of a process as a file, and what of it other files show (cmdline, environ). Protection is no
 * obstacle (FOLL_FORCE), but for writing to shared memory that may not be written; nothing is waited for, so that a page
 * that a userfaultfd would have to fill is EIO, like one that is not there (measured on 6.18).
 * @linux fs/proc/base.c mem_rw, get_mm_cmdline
 */
import type { Steps } from '../../../sched/op.ts';
import { EINVAL, EIO } from '../../../uapi/errno.ts';
import { S_IFREG, SEEK_CUR, SEEK_SET } from '../../../uapi/fcntl.ts';
import { readRemoteVm, writeRemoteVm } from '../../mm/access-remote-vm.ts';
import { mmput } from '../../mm/exit-mmap.ts';
import { FOLL_ANON, FOLL_FORCE } from '../../mm/gup-flags.ts';
import type { Mm } from '../../mm/mm-types.ts';
import { mmAddUser } from '../../mm/mm-users.ts';
import { File, type FileOps } from '../file.ts';

/** Bytes at a time. @linux mem_rw: a page */
const AT_ONCE = 4096;

function mmOf(file: File): Mm {
  return file.data as Mm;
}

/** Does something with an address space as long as it has not ended; 0 afterwards. */
function* withMm(mm: Mm, body: () => Steps<number>): Steps<number> {
  if (mm.users === 0) return 0;
  mmAddUser(mm);
  const result = yield* body();
  yield* mmput(mm);
  return result;
}

const OPS: FileOps = {
  kind: 'mem',
  *read(_task, file, count, offset) {
    const from = offset ?? file.offset;
    const parts: number[] = [];
    const error = yield* withMm(mmOf(file), function* () {
      while (parts.length < count) {
        const wanted = Math.min(AT_ONCE, count - parts.length);
        const got = yield* readRemoteVm(mmOf(file), from + parts.length, wanted, FOLL_FORCE);
        parts.push(...got);
        if (got.length < wanted) return parts.length === 0 ? -EIO : 0;
      }
      return 0;
    });
    if (error < 0) return error;
    if (offset === null) file.offset += parts.length;
    return Uint8Array.from(parts);
  },
  *write(_task, file, data, offset) {
    const from = offset ?? file.offset;
    const done = yield* withMm(mmOf(file), function* () {
      const wrote = yield* writeRemoteVm(mmOf(file), from, data, FOLL_FORCE);
      return wrote === 0 && data.length > 0 ? -EIO : wrote;
    });
    if (offset === null && done > 0) file.offset += done;
    return done;
  },
  seek(file, offset, whence) {
    if (whence !== SEEK_SET && whence !== SEEK_CUR) return -EINVAL;
    file.offset = whence === SEEK_SET ? offset : file.offset + offset;
    return file.offset;
  },
  stat: () => ({ size: 0, mode: S_IFREG | 0o600 }),
};

export function openMem(mm: Mm, flags: number, path: string): File {
  return new File(OPS, flags, mm, path);
}

/** Which bytes of an address space a file shows: [start, end). */
interface Part {
  readonly mm: Mm;
  readonly range: (mm: Mm) => readonly [number, number];
}

const PART_OPS: FileOps = {
  kind: 'part of mem',
  *read(_task, file, count, offset) {
    const { mm, range } = file.data as Part;
    const from = offset ?? file.offset;
    const [start, end] = range(mm);
    const wanted = Math.max(0, Math.min(count, end - start - from));
    let bytes = new Uint8Array(0);
    yield* withMm(mm, function* () {
      bytes = Uint8Array.from(yield* readRemoteVm(mm, start + from, wanted, FOLL_ANON));
      return bytes.length;
    });
    if (offset === null) file.offset += bytes.length;
    return bytes;
  },
  seek: (file, offset, whence) => OPS.seek?.(file, offset, whence) ?? -EINVAL,
  stat: () => ({ size: 0, mode: S_IFREG | 0o444 }),
};

/** The arguments as the process has them now, each with its NUL. */
export function openCmdline(mm: Mm, path: string): File {
  const data: Part = { mm, range: ({ argStart, argEnd }) => [argStart, argEnd] };
  return new File(PART_OPS, 0, data, path);
}

export function openEnviron(mm: Mm, path: string): File {
  const data: Part = { mm, range: ({ envStart, envEnd }) => [envStart, envEnd] };
  return new File(PART_OPS, 0, data, path);
}
