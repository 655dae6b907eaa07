/** Files that are not stored anywhere: devices, procfs, sysfs. Their directories follow from the paths listed here. */
import { S_IFCHR, S_IFREG } from '../../uapi/fcntl.ts';
import type { Task } from '../core/task.ts';
import { seqFile } from './bytes-file.ts';
import { type Dentry, dentryPath } from './dentry.ts';
import { DEVICES } from './devices.ts';
import { procMeminfo } from './proc/meminfo.ts';
import { PID_FILES, pidDirectory, pids } from './proc/pid.ts';
import { DEVTMPFS, PROC, type SuperBlock, SYSFS } from './super.ts';
import { SETTINGS, STORES } from './sysfs.ts';
import { type Opener, PseudoDirectory, PseudoFile, PseudoLink, type VfsNode } from './vfs-node.ts';

/** Texts that do not depend on who reads. */
const TEXTS: Readonly<Record<string, () => string>> = {
  '/proc/meminfo': procMeminfo,
  '/proc/filesystems': () => 'nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\n\text4\n',
};

/** What opens each path; inode numbers follow from the order. */
const FILES: Readonly<Record<string, PseudoFile>> = Object.fromEntries([
  ...DEVICES.map(({ path, open, rdev, permissions = 0o666 }, i): [string, PseudoFile] => [
    path,
    new PseudoFile(DEVTMPFS, i + 2, S_IFCHR | permissions, open, rdev),
  ]),
  ...Object.entries(TEXTS).map(([path, text], i) => textFile(path, text, PROC, 0o444, i)),
  ...Object.entries(SETTINGS).map(([path, text], i) => {
    const sb = path.startsWith('/sys/') ? SYSFS : PROC;
    return textFile(path, () => `${text()}\n`, sb, 0o644, i + 100);
  }),
]);

function textFile(
  path: string,
  text: () => string,
  sb: SuperBlock,
  permissions: number,
  index: number,
): [string, PseudoFile] {
  const store = STORES[path] ?? null;
  const open: Opener = (_task, flags) => seqFile(text, path, store, flags);
  return [path, new PseudoFile(sb, 1000 + index, S_IFREG | permissions, open)];
}

/** Every pseudo file that can be opened; those of a process as /proc/self has them. */
export const PATHS: readonly string[] = [
  ...Object.keys(FILES),
  ...PID_FILES.map((name) => `/proc/self/${name}`),
].sort();

/** @returns what a name in a directory of the tree leads to if that is no stored file */
export function pseudoChild(parent: Dentry, name: string): VfsNode | null {
  const above = dentryPath(parent);
  return pseudoAt(above === '/' ? `/${name}` : `${above}/${name}`);
}

function pseudoAt(path: string): VfsNode | null {
  const file = Object.hasOwn(FILES, path) ? FILES[path] : undefined;
  if (file !== undefined) return file;
  if (path === '/proc/self') return new PseudoLink(PROC, 3, (reader) => `${reader.tgid}`);
  if (path === '/proc/thread-self') {
    return new PseudoLink(PROC, 4, (reader) => `${reader.tgid}/task/${reader.tid}`);
  }
  if (path === '/proc/mounts') return new PseudoLink(PROC, 5, () => 'self/mounts');
  if (path === '/dev/fd') return new PseudoLink(DEVTMPFS, 90, () => '/proc/self/fd');
  for (const [n, stream] of ['stdin', 'stdout', 'stderr'].entries()) {
    if (path === `/dev/${stream}`) {
      return new PseudoLink(DEVTMPFS, 91 + n, () => `/proc/self/fd/${n}`);
    }
  }
  const pid = /^\/proc\/([1-9][0-9]*)$/.exec(path)?.[1];
  if (pid !== undefined) return pidDirectory(Number(pid));
  const below = childNames(path);
  if (below.length === 0) return null;
  const sb = /^\/sys(\/|$)/.test(path) ? SYSFS : PROC;
  const find = (_reader: Task, name: string): VfsNode | null => pseudoAt(`${path}/${name}`);
  return new PseudoDirectory(sb, 5000 + path.length, find, () => below);
}

/** Names right below a path, of files listed here. */
export function childNames(path: string): string[] {
  const prefix = `${path === '/' ? '' : path}/`;
  const found = new Set<string>();
  for (const file of Object.keys(FILES)) {
    if (file.startsWith(prefix)) found.add(file.slice(prefix.length).split('/')[0] ?? '');
  }
  if (path === '/proc') found.add('self').add('thread-self').add('mounts');
  return path === '/proc' ? [...found, ...pids()] : [...found];
}
