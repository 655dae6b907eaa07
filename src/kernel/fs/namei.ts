/** From a path to a file. The tree is fixed: procfs of the caller and a few devices. @linux fs/namei.c */
import type { Steps } from '../../sched/op.ts';
import { ENOENT } from '../../uapi/errno.ts';
import { S_IFCHR } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { seqFile } from './bytes-file.ts';
import { File, type FileOps, POLLIN, POLLOUT } from './file.ts';
import { openClearRefs } from './proc/clear-refs.ts';
import { procMaps } from './proc/maps.ts';
import { procMeminfo } from './proc/meminfo.ts';
import { openPagemap } from './proc/pagemap.ts';
import { procSmaps, procSmapsRollup } from './proc/smaps.ts';
import { procStatus } from './proc/status.ts';
import { SETTINGS, STORES } from './sysfs.ts';

const NULL_OPS: FileOps = {
  kind: 'null',
  *read(): Steps<Uint8Array | number> {
    return new Uint8Array(0);
  },
  *write(_task, _file, data): Steps<number> {
    return data.length;
  },
  poll: () => POLLIN | POLLOUT,
  stat: () => ({ size: 0, mode: S_IFCHR | 0o666 }),
};
const ZERO_OPS: FileOps = {
  ...NULL_OPS,
  kind: 'zero',
  *read(_task, _file, count): Steps<Uint8Array | number> {
    return new Uint8Array(count);
  },
};

type Opener = (task: Task, flags: number, path: string) => File;

const TREE: Readonly<Record<string, Opener>> = {
  '/dev/null': (_task, flags, path) => new File(NULL_OPS, flags, null, path),
  '/dev/zero': (_task, flags, path) => new File(ZERO_OPS, flags, null, path),
  '/proc/self/maps': (task, _flags, path) => seqFile(() => procMaps(task.mmOrDie), path),
  '/proc/self/smaps': (task, _flags, path) => seqFile(() => procSmaps(task.mmOrDie), path),
  '/proc/self/smaps_rollup': (task, _flags, path) =>
    seqFile(() => procSmapsRollup(task.mmOrDie), path),
  '/proc/self/status': (task, _flags, path) => seqFile(() => procStatus(task), path),
  '/proc/meminfo': (_task, _flags, path) => seqFile(procMeminfo, path),
  '/proc/self/clear_refs': (task, flags) => openClearRefs(task.mmOrDie, flags),
  '/proc/self/pagemap': (task, flags) => openPagemap(task.mmOrDie, flags),
  ...Object.fromEntries(
    Object.entries(SETTINGS).map(([path, text]): [string, Opener] => [
      path,
      (_task, flags) => seqFile(() => `${text()}\n`, path, STORES[path] ?? null, flags),
    ]),
  ),
};

/** Every path that can be opened. */
export const PATHS: readonly string[] = Object.keys(TREE);

/** Opens a path. `/proc/PID` of the caller is `/proc/self`. @returns a file with one reference, or -ENOENT */
export function openPath(task: Task, path: string, flags: number): File | number {
  const name = path.replace(new RegExp(`^/proc/(${task.tgid}|thread-self)/`), '/proc/self/');
  const opener = Object.hasOwn(TREE, name) ? TREE[name] : undefined;
  return opener === undefined ? -ENOENT : opener(task, flags, name);
}
