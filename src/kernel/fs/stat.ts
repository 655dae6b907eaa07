/** What stat(2) says of a file, by its name or by a descriptor. @linux fs/stat.c vfs_getattr */
import { machine } from '../../machine/current.ts';
import { PG_DIRTY } from '../../machine/frames.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Task } from '../core/task.ts';
import type { File } from './file.ts';
import { Inode } from './inode.ts';
import { ANON_INODES, encodeDev, type SuperBlock } from './super.ts';
import { PseudoLink, Symlink, type VfsNode } from './vfs-node.ts';

/** Times are 0: nothing here has a date. @linux include/linux/stat.h struct kstat */
export interface Kstat {
  readonly sb: SuperBlock;
  readonly ino: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly rdev: number;
  /** Bytes. */
  readonly size: number;
  /** Of 512 bytes. */
  readonly blocks: number;
  /** Preferred size of transfers. */
  readonly blksize: number;
}

/** @param task who asks: what links of procfs say may depend on that */
export function statNode(task: Task, node: VfsNode): Kstat {
  const { sb, ino, mode, nlink, uid, rdev } = node;
  const common = { sb, ino, mode, nlink, uid, rdev };
  if (node instanceof Inode) {
    return { ...common, size: node.size, blocks: blocksOf(node), blksize: pageOf(node) };
  }
  let size = 0;
  if (node instanceof Symlink) size = node.target.length;
  else if (node instanceof PseudoLink) size = sb.type === 'proc' ? 64 : node.read(task).length;
  else if (node.isDirectory) size = sb.onDisk ? PAGE_SIZE : 40;
  const blocks = sb.onDisk && node.isDirectory ? PAGE_SIZE / 512 : 0;
  return { ...common, size, blocks, blksize: PAGE_SIZE };
}

/** Pages that have a block on the disk, or will have one. */
function allocated({ mapping }: Inode): number {
  const indices = new Set(mapping.disk?.blocks.keys());
  for (const [index, pfn] of mapping.pages) {
    if (machine.frames.hasFlag(pfn, PG_DIRTY)) indices.add(index);
  }
  return indices.size;
}

function pageOf({ hstate }: Inode): number {
  return hstate?.size ?? PAGE_SIZE;
}

function blocksOf(inode: Inode): number {
  const { mapping } = inode;
  if (mapping.disk !== null) return allocated(inode) * (PAGE_SIZE / 512);
  return ((mapping.pages.size + (mapping.swapped?.size ?? 0)) * pageOf(inode)) / 512;
}

export function statFile(task: Task, file: File): Kstat {
  const node = file.inode ?? file.node;
  if (node !== null) return statNode(task, node);
  const { size, mode, rdev, blocks, blksize } = file.ops.stat?.(file) ?? { size: 0, mode: 0o600 };
  return {
    sb: ANON_INODES,
    ino: 1,
    mode,
    nlink: 1,
    uid: 0,
    rdev: rdev ?? 0,
    size,
    blocks: blocks ?? Math.ceil(size / 512),
    blksize: blksize ?? PAGE_SIZE,
  };
}

/** @linux arch-independent struct stat of asm-generic: 128 bytes */
export function encodeStat(stat: Kstat): Uint8Array {
  const bytes = new Uint8Array(128);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(encodeDev(stat.sb)), true);
  view.setBigUint64(8, BigInt(stat.ino), true);
  view.setUint32(16, stat.mode, true);
  view.setUint32(20, stat.nlink, true);
  view.setUint32(24, stat.uid, true);
  view.setUint32(28, stat.uid, true);
  view.setBigUint64(32, BigInt(stat.rdev), true);
  view.setBigInt64(48, BigInt(stat.size), true);
  view.setInt32(56, stat.blksize, true);
  view.setBigInt64(64, BigInt(stat.blocks), true);
  return bytes;
}

/** struct statx with the basic fields. @linux include/uapi/linux/stat.h */
export function encodeStatx(stat: Kstat): Uint8Array {
  const bytes = new Uint8Array(256);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x7ff, true);
  view.setUint32(4, stat.blksize, true);
  view.setUint32(16, stat.nlink, true);
  view.setUint32(20, stat.uid, true);
  view.setUint32(24, stat.uid, true);
  view.setUint16(28, stat.mode, true);
  view.setBigUint64(32, BigInt(stat.ino), true);
  view.setBigUint64(40, BigInt(stat.size), true);
  view.setBigUint64(48, BigInt(stat.blocks), true);
  view.setUint32(128, Math.floor(stat.rdev / 256), true);
  view.setUint32(132, stat.rdev % 256, true);
  view.setUint32(136, stat.sb.major, true);
  view.setUint32(140, stat.sb.minor, true);
  return bytes;
}
