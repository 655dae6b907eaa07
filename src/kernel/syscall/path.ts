/** Paths in user memory. @linux fs/namei.c getname_flags */
import type { Steps } from '../../sched/op.ts';
import { EFAULT, ENAMETOOLONG } from '../../uapi/errno.ts';
import type { Task } from '../core/task.ts';
import { copyFromUser } from '../mm/user-access.ts';

const PATH_MAX = 4096;
const PAGE = 4096;

/** Copies in a string that ends in NUL. @returns it, or -EFAULT or -ENAMETOOLONG */
export function* readPath(task: Task, pointer: number): Steps<string | number> {
  let path = '';
  while (path.length < PATH_MAX) {
    // Up to the end of the page: what follows the terminating NUL may not be mapped.
    const at = pointer + path.length;
    const part = yield* copyFromUser(task, at, Math.min(64, PAGE - (at % PAGE)));
    if (typeof part === 'number') return -EFAULT;
    for (const byte of part) {
      if (byte === 0) return path;
      path += String.fromCharCode(byte);
    }
  }
  return -ENAMETOOLONG;
}
