/** statfs(2) and fstatfs(2). */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import { EBADF, ENOENT } from '../../uapi/errno.ts';
import { AT_FDCWD } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { walkAt } from '../fs/open.ts';
import { ANON_INODES, type SuperBlock } from '../fs/super.ts';
import { copyToUser } from '../mm/user-access.ts';
import { fd, string, struct } from './params.ts';
import { readPath } from './path.ts';
import type { SysArgs, SyscallRow } from './row.ts';

const NAME_MAX = 255;
const ST_RELATIME = 0x1000;
const ST_VALID = 0x20;
/** Pages that the disk says it has. */
const DISK_PAGES = 2 ** 20;

/** struct statfs of 64 bit: 120 bytes. */
function encode({ magic, onDisk }: SuperBlock): Uint8Array {
  const bytes = new Uint8Array(120);
  const view = new DataView(bytes.buffer);
  const put = (index: number, value: number): void =>
    view.setBigUint64(index * 8, BigInt(value), true);
  const blocks = onDisk ? DISK_PAGES : Math.floor(machine.frames.count / 2);
  put(0, magic);
  put(1, PAGE_SIZE);
  put(2, blocks);
  put(3, blocks);
  put(4, blocks);
  put(5, blocks);
  put(6, blocks);
  put(8, NAME_MAX);
  put(9, PAGE_SIZE);
  put(10, ST_RELATIME | ST_VALID);
  return bytes;
}

function* sysStatfs(task: Task, args: SysArgs): Steps<number> {
  const [pathPointer = 0, pointer = 0] = args;
  const path = yield* readPath(task, pathPointer);
  if (typeof path === 'number') return path;
  const walked = yield* walkAt(task, AT_FDCWD, path, true);
  if (typeof walked === 'number') return walked;
  const node = walked.file?.inode ?? walked.dentry?.node;
  if (node === undefined) return -ENOENT;
  return yield* copyToUser(task, pointer, encode(node.sb));
}

function* sysFstatfs(task: Task, args: SysArgs): Steps<number> {
  const [number_ = -1, pointer = 0] = args;
  const file = task.files.get(number_);
  if (file === null) return -EBADF;
  const sb = (file.inode ?? file.node)?.sb ?? ANON_INODES;
  return yield* copyToUser(task, pointer, encode(sb));
}

export const rows: readonly SyscallRow[] = [
  {
    nr: 43,
    name: 'statfs',
    params: [string('path'), struct('buf')],
    handler: sysStatfs,
    supports: [],
    gap: 'Free space does not get less.',
  },
  {
    nr: 44,
    name: 'fstatfs',
    params: [fd('fd'), struct('buf')],
    handler: sysFstatfs,
    supports: [],
    gap: 'As statfs.',
  },
];
