/** /proc/PID: what can be asked of a process, the caller or another one. @linux fs/proc/base.c, fs/proc/fd.c */
import { EACCES, ESRCH } from '../../../uapi/errno.ts';
import { S_IFREG } from '../../../uapi/fcntl.ts';
import type { Task } from '../../core/task.ts';
import { world } from '../../current.ts';
import { procKsmMergingPages, procKsmStat } from '../../mm/ksmd.ts';
import type { Mm } from '../../mm/mm-types.ts';
import { seqFile } from '../bytes-file.ts';
import { type Dentry, dentryPath, filePath } from '../dentry.ts';
import type { File } from '../file.ts';
import { MOUNTS, PROC } from '../super.ts';
import { type Opener, PseudoDirectory, PseudoFile, PseudoLink, type VfsNode } from '../vfs-node.ts';
import { openClearRefs } from './clear-refs.ts';
import { procMaps } from './maps.ts';
import { openCmdline, openEnviron, openMem } from './mem.ts';
import { openPagemap } from './pagemap.ts';
import { procSmaps, procSmapsRollup } from './smaps.ts';
import { procStat, procStatm } from './stat.ts';
import { procStatus } from './status.ts';

/** Opens a file of a process. @param target its leader, or the thread that is asked about */
type PidOpener = (target: Task, flags: number, path: string) => File | number;

/** A text about an address space: that of the time of the open; nothing once it has ended. */
function mmText(text: (mm: Mm) => string): PidOpener {
  return (target, _flags, path) => mmFile(target.mm, text, path);
}
function mmFile(mm: Mm | null, text: (mm: Mm) => string, path: string): File {
  return seqFile(() => (mm === null || mm.users === 0 ? '' : text(mm)), path);
}
/** A file that a process that has ended does not have any more. */
function ofMm(open: (mm: Mm, flags: number, path: string) => File): PidOpener {
  return ({ mm }, flags, path) => (mm === null ? -ESRCH : open(mm, flags, path));
}
function taskText(text: (target: Task) => string): PidOpener {
  return (target, _flags, path) => seqFile(() => text(target), path);
}

const FILES: Readonly<Record<string, PidOpener>> = {
  clear_refs: ofMm(openClearRefs),
  cmdline: (target, _flags, path) =>
    target.mm === null ? seqFile(() => '', path) : openCmdline(target.mm, path),
  comm: taskText((target) => `${target.name.slice(0, 15)}\n`),
  ksm_merging_pages: mmText(procKsmMergingPages),
  ksm_stat: mmText(procKsmStat),
  environ: ofMm((mm, _flags, path) => openEnviron(mm, path)),
  maps: mmText(procMaps),
  mem: ofMm(openMem),
  mounts: taskText(() =>
    MOUNTS.map(([what, at, type]) => `${what} ${at} ${type} rw,relatime 0 0\n`).join(''),
  ),
  pagemap: ofMm(openPagemap),
  smaps: mmText(procSmaps),
  smaps_rollup: ofMm((mm, _flags, path) => mmFile(mm, procSmapsRollup, path)),
  stat: taskText(procStat),
  statm: taskText(procStatm),
  status: taskText(procStatus),
};

/** Names of the files of a process; the directories fd, fdinfo and task, and the links cwd, exe and root are there too. */
export const PID_FILES: readonly string[] = Object.keys(FILES);

/** What only its owner, or root, may look at. @linux PTRACE_MODE_READ */
const PRIVATE = new Set(['maps', 'smaps', 'smaps_rollup', 'pagemap', 'mem', 'environ', 'auxv']);

const LINKS: Readonly<Record<string, (target: Task) => PseudoLink>> = {
  cwd: (target) => new PseudoLink(PROC, 10, () => nameOf(target.fs.pwd)),
  exe: (target) =>
    new PseudoLink(
      PROC,
      11,
      () => exePath(target),
      () => target.mm?.exeFile ?? null,
    ),
  root: () => new PseudoLink(PROC, 12, () => '/'),
};

function nameOf(dentry: Dentry | null): string {
  return dentry === null ? '/' : dentryPath(dentry);
}

function exePath(target: Task): string {
  const file = target.mm?.exeFile ?? null;
  return file === null ? `/${target.name}` : filePath(file);
}

/** The directory of a process or thread, or null when there is none. @linux proc_pid_lookup */
export function pidDirectory(pid: number): VfsNode | null {
  const target = world.tasks.find((task) => task.tid === pid && !isGone(task));
  return target === undefined ? null : directoryOf(target);
}

/** Numbers of the processes there are, as /proc lists them. */
export function pids(): string[] {
  const leaders = world.tasks.filter((task) => task.tid === task.tgid && !isGone(task));
  return leaders.map((task) => `${task.tid}`);
}

function isGone(task: Task): boolean {
  const { group } = task;
  return group.reaped || (task !== group.leader && !group.threads.includes(task));
}

function directoryOf(target: Task): PseudoDirectory {
  const find = (_reader: Task, name: string): VfsNode | null => entry(target, name);
  const list = (): string[] => [...PID_FILES, ...Object.keys(LINKS), ...Object.keys(DIRECTORIES)];
  return new PseudoDirectory(PROC, 10_000 + target.tid * 256, find, list);
}

function entry(target: Task, name: string): VfsNode | null {
  const link = Object.hasOwn(LINKS, name) ? LINKS[name] : undefined;
  if (link !== undefined) return link(target);
  const directory = Object.hasOwn(DIRECTORIES, name) ? DIRECTORIES[name] : undefined;
  if (directory !== undefined) return directory(target);
  const opener = Object.hasOwn(FILES, name) ? FILES[name] : undefined;
  if (opener === undefined) return null;
  const open: Opener = (reader, flags, path) =>
    PRIVATE.has(name) && reader.uid !== 0 && reader.uid !== target.uid
      ? -EACCES
      : opener(target, flags, path);
  const node = new PseudoFile(PROC, 10_001 + target.tid * 256, S_IFREG | 0o644, open);
  node.uid = target.uid;
  return node;
}

const DIRECTORIES: Readonly<Record<string, (target: Task) => PseudoDirectory>> = {
  fd: (target) => descriptors(target, (number, file) => descriptorLink(number, file)),
  fdinfo: (target) =>
    descriptors(target, (number, file) => {
      const open: Opener = (_reader, _flags, path) => seqFile(() => fdinfo(file), path);
      return new PseudoFile(PROC, 20_000 + number, S_IFREG | 0o444, open);
    }),
  task: (target) => {
    const threads = (): string[] => target.group.threads.map((thread) => `${thread.tid}`);
    const find = (_reader: Task, name: string): VfsNode | null =>
      threads().includes(name) ? pidDirectory(Number(name)) : null;
    return new PseudoDirectory(PROC, 10_002 + target.tid * 256, find, threads);
  },
};

function descriptors(target: Task, node: (number: number, file: File) => VfsNode): PseudoDirectory {
  const find = (_reader: Task, name: string): VfsNode | null => {
    const number = /^(0|[1-9][0-9]*)$/.test(name) ? Number(name) : -1;
    const file = target.files.get(number);
    return file === null ? null : node(number, file);
  };
  const list = (): string[] => [...target.files.entries()].map(([number]) => `${number}`);
  return new PseudoDirectory(PROC, 10_003 + target.tid * 256, find, list);
}

function descriptorLink(number: number, file: File): PseudoLink {
  return new PseudoLink(
    PROC,
    30_000 + number,
    () => filePath(file),
    () => file,
  );
}

function fdinfo(file: File): string {
  const flags = file.flags.toString(8);
  const ino = file.inode?.ino ?? file.node?.ino ?? 1;
  const head = `pos:\t${file.offset}\nflags:\t0${flags}\nmnt_id:\t${file.dentry === null ? 15 : 24}\nino:\t${ino}\n`;
  return head + (file.ops.fdinfo?.(file) ?? '');
}
