/** execve(2) and execveat(2). */
import type { Steps } from '../../sched/op.ts';
import { E2BIG, EBADF, EFAULT, EINVAL } from '../../uapi/errno.ts';
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_NOFOLLOW } from '../../uapi/fcntl.ts';
import { doExecve } from '../core/exec.ts';
import type { Task } from '../core/task.ts';
import { type File, fget } from '../fs/file.ts';
import { openFile } from '../fs/open.ts';
import { copyFromUser } from '../mm/user-access.ts';
import { address, fd, flags, string } from './params.ts';
import { readPath } from './path.ts';
import type { SysArgs, SyscallRow } from './row.ts';

/** @linux MAX_ARG_STRINGS is larger; the stack is what limits them */
const MAX_STRINGS = 32_768;

/** A vector of strings that a null pointer ends. @returns it, or -EFAULT or -E2BIG */
function* readStrings(task: Task, pointer: number): Steps<string[] | number> {
  const found: string[] = [];
  for (let at = pointer; pointer !== 0; at += 8) {
    const bytes = yield* copyFromUser(task, at, 8);
    if (typeof bytes === 'number') return -EFAULT;
    const word = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
    if (word === 0) break;
    if (found.length === MAX_STRINGS) return -E2BIG;
    const text = yield* readPath(task, word);
    if (typeof text === 'number') return text === -EFAULT ? text : -E2BIG;
    found.push(text);
  }
  return found;
}

/** The program to run, with a reference. */
function* program(
  task: Task,
  dirfd: number,
  pathPointer: number,
  how: number,
): Steps<File | number> {
  const path = yield* readPath(task, pathPointer);
  if (typeof path === 'number') return path;
  if (path === '' && (how & AT_EMPTY_PATH) !== 0) {
    const file = task.files.get(dirfd);
    return file === null ? -EBADF : fget(file);
  }
  return yield* openFile(task, dirfd, path, (how & AT_SYMLINK_NOFOLLOW) === 0 ? 0 : O_NOFOLLOW, 0);
}

function* sysExecveat(task: Task, args: SysArgs): Steps<number> {
  const [dirfd = 0, pathPointer = 0, argv = 0, envp = 0, how = 0] = args;
  if ((how & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) !== 0) return -EINVAL;
  const given = yield* readStrings(task, argv);
  if (typeof given === 'number') return given;
  const env = yield* readStrings(task, envp);
  if (typeof env === 'number') return env;
  const file = yield* program(task, dirfd, pathPointer, how);
  if (typeof file === 'number') return file;
  // A program always has a name. execve(2)
  return yield* doExecve(task, { file, args: given.length === 0 ? [''] : given, env });
}

const how = flags('flags', { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW });

export const rows: readonly SyscallRow[] = [
  {
    nr: 221,
    name: 'execve',
    params: [string('pathname'), address('argv'), address('envp')],
    *handler(task, [pathname = 0, argv = 0, envp = 0]) {
      return yield* sysExecveat(task, [AT_FDCWD, pathname, argv, envp, 0]);
    },
    supports: ['static riscv64 ELF executables'],
    gap: 'Scripts (#!) and dynamically linked or position-independent programs are ENOEXEC; set-user-ID bits do nothing.',
  },
  {
    nr: 281,
    name: 'execveat',
    params: [fd('dirfd'), string('pathname'), address('argv'), address('envp'), how],
    handler: sysExecveat,
    supports: ['AT_EMPTY_PATH', 'AT_SYMLINK_NOFOLLOW'],
    gap: 'As execve.',
  },
];
