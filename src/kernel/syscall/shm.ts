/** shmget(2), shmat(2), shmdt(2), shmctl(2). */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import { IPC_RMID, IPC_STAT, SHM_INFO } from '../../uapi/shm.ts';
import type { Task } from '../core/task.ts';
import { errnoTable, fail } from '../errno-row.ts';
import { fileInode } from '../fs/regular-file.ts';
import {
  attachments,
  doShmat,
  doShmdt,
  doShmget,
  removeSegment,
  type ShmSegment,
  shmIds,
} from '../ipc/shm.ts';
import { copyToUser } from '../mm/user-access.ts';
import { address, flags, length, number, struct } from './params.ts';
import type { SysArgs, SyscallRow } from './row.ts';

export const SHMCTL_ERRORS = errnoTable('shmctl', {
  id: ['EINVAL', 'no segment has the number'],
  command: ['EINVAL', 'no such command'],
  fault: ['EFAULT', 'the struct cannot be written'],
});
/** struct shmid64_ds and struct shm_info of asm-generic. */
const DS_BYTES = 112;
const INFO_BYTES = 48;

function* sysShmget(task: Task, [key = 0, size = 0, how = 0]: SysArgs): Steps<number> {
  return doShmget(task, key | 0, size, how);
}

function* sysShmat(task: Task, [id = 0, where = 0, how = 0]: SysArgs): Steps<number> {
  return yield* doShmat(task, id, where, how);
}

function* sysShmdt(task: Task, [where = 0]: SysArgs): Steps<number> {
  return yield* doShmdt(task.mmOrDie, where);
}

function* sysShmctl(task: Task, [id = 0, command = 0, buffer = 0]: SysArgs): Steps<number> {
  const E = SHMCTL_ERRORS;
  if (command === SHM_INFO) return yield* shmInfo(task, buffer);
  const segment = shmIds().segments.get(id);
  if (command !== IPC_RMID && command !== IPC_STAT) return fail(E.command);
  if (segment === undefined) return fail(E.id);
  if (command === IPC_STAT) return yield* shmStat(task, segment, buffer);
  yield* removeSegment(task, segment);
  return 0;
}

function* shmStat(task: Task, segment: ShmSegment, buffer: number): Steps<number> {
  const bytes = new Uint8Array(DS_BYTES);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, segment.key, true);
  view.setUint32(20, segment.mode, true);
  view.setBigUint64(48, BigInt(segment.size), true);
  view.setInt32(80, segment.creator, true);
  view.setInt32(84, segment.lastPid, true);
  view.setBigUint64(88, BigInt(attachments(segment)), true);
  return (yield* copyToUser(task, buffer, bytes)) < 0 ? fail(SHMCTL_ERRORS.fault) : 0;
}

/** @returns the highest number in use, or 0 */
function* shmInfo(task: Task, buffer: number): Steps<number> {
  const { segments } = shmIds();
  const bytes = new Uint8Array(INFO_BYTES);
  const view = new DataView(bytes.buffer);
  let pages = 0;
  for (const { file } of segments.values()) pages += fileInode(file).size / PAGE_SIZE;
  view.setInt32(0, segments.size, true);
  view.setBigUint64(8, BigInt(pages), true);
  if ((yield* copyToUser(task, buffer, bytes)) < 0) return fail(SHMCTL_ERRORS.fault);
  return Math.max(0, ...segments.keys());
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 194,
    name: 'shmget',
    params: [number('key'), length('size'), flags('shmflg', {})],
    handler: sysShmget,
    supports: ['IPC_CREAT', 'IPC_EXCL', 'SHM_HUGETLB', 'SHM_NORESERVE'],
    gap: 'Permissions are not checked.',
  },
  {
    nr: 195,
    name: 'shmctl',
    params: [number('shmid'), number('cmd'), struct('buf')],
    handler: sysShmctl,
    supports: ['IPC_RMID', 'IPC_STAT', 'SHM_INFO'],
    gap: 'Times are 0; a removed segment that is still mapped can no longer be asked about.',
  },
  {
    nr: 196,
    name: 'shmat',
    params: [number('shmid'), address('shmaddr'), flags('shmflg', {})],
    handler: sysShmat,
    supports: ['SHM_RDONLY', 'SHM_RND', 'SHM_REMAP', 'SHM_EXEC'],
    gap: '',
  },
  {
    nr: 197,
    name: 'shmdt',
    params: [address('shmaddr')],
    handler: sysShmdt,
    supports: [],
    gap: '',
  },
];
