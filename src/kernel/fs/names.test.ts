/** Names of files: what open, unlink, rename and link make of them. Answers as 6.18.44 gives them on tmpfs and ext4. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileKit } from '../../../test/kernel/file-kit.ts';
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDWR,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
} from '../../uapi/fcntl.ts';
import { MAP_SHARED } from '../../uapi/mman.ts';
import { procMaps } from './proc/maps.ts';

let k: FileKit;
beforeEach(() => {
  k = new FileKit();
});
afterEach(() => {
  expect(k.census()).toBeNull();
});

const NEW = O_RDWR | O_CREAT;

test.each(['/tmp/f', '/etc/f'])('a file that O_CREAT makes keeps what was written: %s', (path) => {
  const fd = Number(k.open(path, NEW | O_EXCL));
  expect(k.write(fd, [1, 2, 3], 0)).toBe(3);
  expect([k.open(path, NEW | O_EXCL), k.call('close', fd)]).toEqual(['EEXIST', 0]);
  const again = Number(k.open(path, O_RDWR | O_APPEND));
  k.put([9]);
  expect(k.call('write', again, 0x600000000400, 1)).toBe(1);
  expect([k.read(again, 9, 0), k.stat(path)]).toEqual([[1, 2, 3, 9], '100644 1 4']);
  expect([k.open(path, O_WRONLY | O_TRUNC), k.stat(path)]).toEqual([1, '100644 1 0']);
});

test('each way in which a path leads nowhere has its errno', () => {
  k.open('/tmp/f', NEW);
  expect(k.open('/tmp/none', O_RDWR)).toBe('ENOENT');
  expect(k.open('/none/f', NEW)).toBe('ENOENT');
  expect(k.open('/tmp/f/g', O_RDWR)).toBe('ENOTDIR');
  expect(k.open('/tmp/f/', O_RDWR)).toBe('ENOTDIR');
  expect(k.open('/tmp/g/', NEW)).toBe('EISDIR');
  expect(k.open('/tmp', O_RDWR)).toBe('EISDIR');
  expect(k.open('/tmp', O_CREAT)).toBe('EISDIR');
  expect(k.open('/tmp/f', O_DIRECTORY)).toBe('ENOTDIR');
  expect(k.open('', O_RDWR)).toBe('ENOENT');
  expect([k.open('/proc/new', NEW), k.open('/sys/new', NEW)]).toEqual(['ENOENT', 'EACCES']);
  expect(k.at('unlinkat', '/proc/self/maps', 0)).toBe('EPERM');
  expect(k.open(`/tmp/${'x'.repeat(256)}`, NEW)).toBe('ENAMETOOLONG');
  expect(k.call('openat', 77, k.text('f'), O_RDWR)).toBe('EBADF');
  expect(k.call('openat', 0, k.text('f'), O_RDWR)).toBe('ENOTDIR');
});

test('a file without a name is there for who has it open, and can be given one', () => {
  const fd = k.open('/tmp', O_RDWR | O_TMPFILE, 0o600);
  expect([fd, k.open('/tmp', O_TMPFILE), k.list('/tmp')]).toEqual([0, 'EINVAL', []]);
  expect(k.write(Number(fd), [5], 0)).toBe(1);
  expect(k.readlink('/proc/self/fd/0')).toMatch(/^\/tmp\/#\d+ \(deleted\)$/);
  expect(k.two('linkat', '/proc/self/fd/0', '/tmp/named', 0x400)).toBe(0);
  expect([k.list('/tmp'), k.stat('/tmp/named')]).toEqual([['named'], '100600 1 1']);
  expect(k.read(Number(k.open('/proc/self/fd/0', O_RDWR)), 1, 0)).toEqual([5]);
});

test('an unlinked file lives on in descriptors and mappings, which say so', () => {
  const fd = Number(k.open('/tmp/f', NEW));
  k.write(fd, [7], 0);
  expect(k.mapFile(fd, 0, 1, MAP_SHARED)).toBe(0);
  expect(procMaps(k.task.mmOrDie)).toMatch(/ 00:1a \d+ +\/tmp\/f\n$/);
  expect([k.at('unlinkat', '/tmp/f', 0), k.at('unlinkat', '/tmp/f', 0)]).toEqual([0, 'ENOENT']);
  expect(procMaps(k.task.mmOrDie)).toMatch(/\/tmp\/f \(deleted\)\n$/);
  expect([k.call('close', fd), k.load(0)]).toEqual([0, 7]);
  k.unmap(0, 1);
  expect(k.world.mappings.size).toBe(0);
});

test('directories: made, counted, listed, entered, and removed only when empty', () => {
  expect([k.at('mkdirat', '/tmp/d', 0o777), k.at('mkdirat', '/tmp/d', 0o777)]).toEqual([
    0,
    'EEXIST',
  ]);
  expect([k.stat('/tmp/d'), k.stat('/tmp')]).toEqual(['40755 2 40', '41777 3 40']);
  expect([k.chdir('/tmp/d'), k.getcwd(), k.open('f', NEW)]).toEqual([0, '/tmp/d', 0]);
  expect([k.list('.'), k.list('..'), k.open('f', 0)]).toEqual([['f'], ['d'], 1]);
  expect(k.at('unlinkat', '/tmp/d', 0)).toBe('EISDIR');
  expect(k.at('unlinkat', '/tmp/d', AT_REMOVEDIR)).toBe('ENOTEMPTY');
  expect(k.at('unlinkat', '/tmp/d/f', AT_REMOVEDIR)).toBe('ENOTDIR');
  expect([k.at('unlinkat', 'f', 0), k.at('unlinkat', '../d', AT_REMOVEDIR)]).toEqual([0, 0]);
  expect([k.getcwd(), k.stat('/tmp'), k.chdir('/tmp/d')]).toEqual([
    'ENOENT',
    '41777 2 40',
    'ENOENT',
  ]);
});

test('renaming moves what is there, over what may be replaced', () => {
  k.at('mkdirat', '/tmp/d', 0o755);
  const fd = Number(k.open('/tmp/a', NEW));
  k.write(fd, [1], 0);
  k.open('/tmp/b', NEW);
  expect(k.two('renameat2', '/tmp/a', '/tmp/b', RENAME_NOREPLACE)).toBe('EEXIST');
  expect(k.two('renameat2', '/tmp/a', '/tmp/d')).toBe('EISDIR');
  expect(k.two('renameat2', '/tmp/d', '/tmp/a')).toBe('ENOTDIR');
  expect(k.two('renameat2', '/tmp/d', '/tmp/d/e')).toBe('EINVAL');
  expect(k.two('renameat2', '/tmp/a', '/etc/a')).toBe('EXDEV');
  expect(k.two('renameat2', '/tmp/a', '/tmp/b', RENAME_EXCHANGE)).toBe(0);
  expect(k.readlink('/proc/self/fd/0')).toBe('/tmp/b');
  expect([k.two('renameat2', '/tmp/b', '/tmp/d/c'), k.list('/tmp')]).toEqual([0, ['a', 'd']]);
  expect([k.readlink('/proc/self/fd/0'), k.stat('/tmp/d/c')]).toEqual(['/tmp/d/c', '100644 1 1']);
});

test('links: followed, looked at, and found to go round', () => {
  k.open('/tmp/f', NEW);
  expect([k.symlink('f', '/tmp/l'), k.symlink('loop', '/tmp/loop')]).toEqual([0, 0]);
  expect([k.readlink('/tmp/l'), k.readlink('/tmp/f')]).toEqual(['f', 'EINVAL']);
  expect([k.stat('/tmp/l'), k.stat('/tmp/l', AT_SYMLINK_NOFOLLOW)]).toEqual([
    '100644 1 0',
    '120777 1 1',
  ]);
  expect([k.open('/tmp/loop', 0), k.open('/tmp/l', O_NOFOLLOW)]).toEqual(['ELOOP', 'ELOOP']);
  expect([k.two('linkat', '/tmp/f', '/tmp/g'), k.stat('/tmp/g')]).toEqual([0, '100644 2 0']);
  expect(k.two('linkat', '/tmp', '/tmp/t')).toBe('EPERM');
});

test('permissions bind everybody but root', () => {
  k.at('mkdirat', '/etc/hidden', 0o700);
  k.open('/etc/hidden/f', NEW);
  k.open('/tmp/private', NEW, 0o600);
  k.open('/tmp/script', NEW, 0o755);
  expect(k.at('faccessat', '/tmp/private', 1)).toBe('EACCES');
  k.task.uid = 1000;
  expect(k.open('/etc/hidden/f', 0)).toBe('EACCES');
  expect([k.open('/tmp/private', 0), k.open('/tmp/script', O_RDWR)]).toEqual(['EACCES', 'EACCES']);
  expect([k.open('/etc/mine', NEW), k.open('/tmp/mine', NEW)]).toEqual(['EACCES', 3]);
  expect(k.at('faccessat', '/tmp/script', 5)).toBe(0);
  expect(k.at('fchmodat', '/tmp/script', 0o777)).toBe('EPERM');
});

test('statfs tells file systems apart', () => {
  const magic = (path: string): string => {
    const out = 0x600000000800;
    const got = k.call('statfs', k.text(path), out);
    return typeof got === 'string'
      ? got
      : new DataView(k.out(8).buffer).getUint32(0, true).toString(16);
  };
  expect(['/', '/tmp', '/dev/shm', '/proc/self/maps', '/sys/kernel', '/none'].map(magic)).toEqual([
    'ef53',
    '1021994',
    '1021994',
    '9fa0',
    '62656572',
    'ENOENT',
  ]);
});

test('/proc lists processes and their descriptors', () => {
  const fd = k.memfd(1);
  expect(k.list('/proc')).toEqual(expect.arrayContaining(['1', 'meminfo', 'self', 'sys']));
  expect(k.list('/proc/self/fd')).toEqual([`${fd}`, '1']);
  expect(k.readlink('/proc/self/fd/0')).toBe('/memfd:x (deleted)');
  expect(k.readlink('/proc/self')).toBe('1');
  expect(k.cat('/proc/1/statm')).toBe(k.cat('/proc/thread-self/statm'));
  expect([k.open('/proc/99/maps', 0), k.open('/proc/self/fd/17', 0)]).toEqual(['ENOENT', 'ENOENT']);
  expect(k.call('openat', AT_FDCWD, 1, 0)).toBe('EFAULT');
});
