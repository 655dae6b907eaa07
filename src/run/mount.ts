/** Files that a run begins with besides the program, and what has become of them at its end. */
import type { Task } from '../kernel/core/task.ts';
import type { Dentry, NameTree } from '../kernel/fs/dentry.ts';
import { Inode } from '../kernel/fs/inode.ts';
import { kernelRead } from '../kernel/fs/kernel-read.ts';
import { names, walkPath } from '../kernel/fs/namei.ts';
import { DISK, type SuperBlock } from '../kernel/fs/super.ts';
import { Directory, Symlink } from '../kernel/fs/vfs-node.ts';
import { INODE_LOCK } from '../kernel/lock-classes.ts';
import type { World } from '../kernel/world.ts';
import { F_SEAL_SEAL, S_IFREG } from '../uapi/fcntl.ts';

/** One name of a tree, relative to its root: a file's bytes, where a link leads, or null for a directory. */
export interface TreeEntry {
  /** `a/b`; empty for the root itself. */
  readonly path: string;
  readonly content: Uint8Array | string | null;
  /** Permissions. */
  readonly mode: number;
}

/** A tree that appears at an absolute path of the guest. */
export interface Mount {
  readonly at: string;
  readonly entries: readonly TreeEntry[];
  readonly readOnly: boolean;
}

const PAGE = 4096;
const READ_ONLY: SuperBlock = { ...DISK, minor: 16, readOnly: true };

/** Puts a tree into the name tree of the current World; directories on the way are made. */
export function storeMount({ at, entries, readOnly }: Mount): void {
  const tree = names();
  const sb = readOnly ? READ_ONLY : DISK;
  for (const { path, content, mode } of entries) {
    const parts = `${at}/${path}`.split('/').filter((part) => part !== '');
    const name = parts.pop();
    if (name === undefined) continue;
    const parent = makeDirectories(tree, parts);
    if (content === null) {
      if (parent.children.get(name)?.node.isDirectory === true && path !== '') continue;
      tree.add(parent, name, new Directory(sb, tree.newIno(), mode));
    } else if (typeof content === 'string') {
      tree.add(parent, name, new Symlink(sb, tree.newIno(), content));
    } else tree.add(parent, name, diskFile(sb, tree.newIno(), content, mode));
  }
}

function makeDirectories(tree: NameTree, parts: readonly string[]): Dentry {
  let here = tree.root;
  for (const part of parts) {
    here =
      here.children.get(part) ?? tree.add(here, part, new Directory(DISK, tree.newIno(), 0o755));
  }
  return here;
}

/** A file on the disk. The bytes are not copied but for the last page. */
export function diskFile(sb: SuperBlock, ino: number, bytes: Uint8Array, mode: number): Inode {
  const inode = new Inode(S_IFREG | mode, F_SEAL_SEAL, INODE_LOCK, sb, ino);
  inode.size = bytes.length;
  for (let at = 0; at < bytes.length; at += PAGE) {
    let block = bytes.subarray(at, at + PAGE);
    if (block.length < PAGE) {
      block = new Uint8Array(PAGE);
      block.set(bytes.subarray(at));
    }
    inode.mapping.disk?.blocks.set(at / PAGE, block);
  }
  return inode;
}

/** Lets a task begin in a directory. @returns whether there is one of that path */
export function enterDirectory(task: Task, path: string): boolean {
  const walked = walkPath(task, names().root, path, true);
  if (typeof walked === 'number' || walked.dentry?.node.isDirectory !== true) return false;
  task.fs.pwd = walked.dentry;
  return true;
}

/** What lies at a path of the guest now. Requires: nothing of the World runs. */
export function readTree(world: World, at: string): TreeEntry[] {
  const found: TreeEntry[] = [];
  let root: Dentry | undefined = names().root;
  for (const part of at.split('/').filter((p) => p !== '')) root = root?.children.get(part);
  if (root !== undefined) collect(world, root, '', found);
  return found;
}

function collect(world: World, dentry: Dentry, path: string, found: TreeEntry[]): void {
  const { node } = dentry;
  const mode = node.mode & 0o7777;
  if (node instanceof Inode) {
    const content = world.sched.runAlone(kernelRead(node));
    if (typeof content !== 'number') found.push({ path, content, mode });
  } else if (node instanceof Symlink) found.push({ path, content: node.target, mode });
  else if (node instanceof Directory) {
    found.push({ path, content: null, mode });
    for (const child of dentry.children.values()) {
      collect(world, child, path === '' ? child.name : `${path}/${child.name}`, found);
    }
  }
}
