/** From a path to what it names. @linux fs/namei.c path_lookupat, path_openat */
import { READ, WRITE } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { EACCES, ELOOP, ENOENT, ENOTDIR } from '../../uapi/errno.ts';
import type { Task } from '../core/task.ts';
import { world } from '../current.ts';
import { Dentry, NameTree } from './dentry.ts';
import type { File } from './file.ts';
import { pseudoChild } from './pseudo.ts';
import { PseudoDirectory, PseudoLink, Symlink, type VfsNode } from './vfs-node.ts';

/** Links that one path may go through. @linux MAXSYMLINKS */
const MAX_LINKS = 40;

export const MAY_EXEC = 1;
export const MAY_WRITE = 2;
export const MAY_READ = 4;

/** The names of the current world. */
export function names(): NameTree {
  world.names ??= new NameTree();
  return world.names;
}

/** The directory that relative paths of a task begin at. */
export function workingDirectory(task: Task): Dentry {
  return task.fs.pwd ?? names().root;
}

/** Where a path ends: the directory of its last name, that name, and what it leads to now. */
export interface Walked {
  readonly parent: Dentry;
  /** The last name; empty for the root and for `.` and `..`. */
  readonly name: string;
  /** Null: there is nothing of that name yet. */
  readonly dentry: Dentry | null;
  /** What a link of procfs leads to without a name. */
  readonly file: File | null;
  /** The path ends in a slash, so it must name a directory. */
  readonly slash: boolean;
}

/**
 * Follows a path.
 * @param base where a relative one begins
 * @param follow whether a link at the end of it is followed
 * @returns where it ends, or -ENOENT (a directory on the way is missing), -ENOTDIR, -EACCES or -ELOOP
 */
export function walkPath(task: Task, base: Dentry, path: string, follow: boolean): Walked | number {
  if (path === '') return -ENOENT;
  const tree = names();
  sched.touch(tree.cell, READ);
  const walk = new Walk(task, tree.root, base, follow);
  return walk.go(path);
}

/** One walk with the links it goes through. */
class Walk {
  private readonly task: Task;
  private readonly root: Dentry;
  private readonly follow: boolean;
  private here: Dentry;
  private links = 0;

  constructor(task: Task, root: Dentry, base: Dentry, follow: boolean) {
    this.task = task;
    this.root = root;
    this.here = base;
    this.follow = follow;
  }

  go(path: string): Walked | number {
    if (path.startsWith('/')) this.here = this.root;
    const parts = path.split('/').filter((part) => part !== '' && part !== '.');
    const slash = /\/\.?$/.test(path) || path === '.';
    for (let i = 0; i < parts.length; i++) {
      const name = parts[i] ?? '';
      const last = i === parts.length - 1;
      const refused = this.mayEnter();
      if (refused < 0) return refused;
      if (name === '..') {
        this.here = this.here.parent ?? this.here;
        continue;
      }
      const parent = this.here;
      const child = childOf(this.task, parent, name);
      if (last && (child === null || !child.node.isLink || !(this.follow || slash))) {
        return this.end(parent, name, child, slash);
      }
      if (child === null) return -ENOENT;
      if (!child.node.isLink) {
        this.here = child;
        continue;
      }
      if (++this.links > MAX_LINKS) return -ELOOP;
      const { node } = child;
      const file = node instanceof PseudoLink ? (node.file?.(this.task) ?? null) : null;
      if (node instanceof PseudoLink && node.file !== null) {
        if (file === null) return -ENOENT;
        if (last) return { parent, name, dentry: file.dentry, file, slash };
        if (file.dentry === null) return -ENOTDIR;
        this.here = file.dentry;
        continue;
      }
      const target = node instanceof Symlink ? node.target : this.readPseudo(node);
      const rest = parts.slice(i + 1).join('/');
      return this.go(`${target}${rest === '' ? '' : `/${rest}`}${slash ? '/' : ''}`);
    }
    return { parent: this.here, name: '', dentry: this.here, file: null, slash: true };
  }

  private readPseudo(node: VfsNode): string {
    return node instanceof PseudoLink ? node.read(this.task) : '';
  }

  private mayEnter(): number {
    const { node } = this.here;
    if (!node.isDirectory) return -ENOTDIR;
    return mayAccess(this.task, node, MAY_EXEC) ? 0 : -EACCES;
  }

  private end(
    parent: Dentry,
    name: string,
    dentry: Dentry | null,
    slash: boolean,
  ): Walked | number {
    if (slash && dentry !== null && !dentry.node.isDirectory) return -ENOTDIR;
    return { parent, name, dentry, file: null, slash };
  }
}

/** What a name in a directory leads to. */
export function childOf(task: Task, parent: Dentry, name: string): Dentry | null {
  const known = parent.children.get(name);
  if (known !== undefined) return known;
  const { node } = parent;
  const made = node instanceof PseudoDirectory ? node.find(task, name) : pseudoChild(parent, name);
  return made === null ? null : new Dentry(name, parent, made);
}

/** Permission bits of a node against a task: root may do everything. @linux inode_permission */
export function mayAccess(task: Task, node: VfsNode, wanted: number): boolean {
  if (task.uid === 0) return true;
  const shift = task.uid === node.uid ? 6 : 0;
  return ((node.mode >> shift) & wanted) === wanted;
}

/** Says that names are about to change. Inside the running step. */
export function changeNames(): NameTree {
  const tree = names();
  sched.touch(tree.cell, WRITE);
  return tree;
}
