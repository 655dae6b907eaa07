// Who may create a userfaultfd, and how: every answer measured on 6.18.44, as root and as user 1000.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileKit } from '../../../test/kernel/file-kit.ts';
import { errnoName } from '../../uapi/errno.ts';
import { O_CLOEXEC, O_NONBLOCK, O_RDONLY, O_RDWR } from '../../uapi/fcntl.ts';
import { UFFD_USER_MODE_ONLY, USERFAULTFD_IOC_NEW } from '../../uapi/userfaultfd.ts';
import { STORES } from './sysfs.ts';
import { ctxOfFile } from './userfaultfd-file.ts';

const DEVICE = '/dev/userfaultfd';
const SYSCTL = '/proc/sys/vm/unprivileged_userfaultfd';

let k: FileKit;
beforeEach(() => {
  k = new FileKit();
});
afterEach(() => {
  expect(k.census()).toBeNull();
});

function create(device: number | string, flags: number): number | string {
  return k.call('ioctl', Number(device), USERFAULTFD_IOC_NEW, flags);
}

test('the device gives descriptors to whoever has it open, for reading or for writing', () => {
  for (const how of [O_RDWR, O_RDONLY]) {
    const device = k.open(DEVICE, how);
    for (const flags of [0, O_CLOEXEC | O_NONBLOCK, UFFD_USER_MODE_ONLY]) {
      const fd = Number(create(device, flags));
      expect(ctxOfFile(k.task.files.get(fd))?.flags).toBe(flags);
    }
  }
});
test('it refuses other flags and other ioctls, and is nothing to read or write', () => {
  const device = Number(k.open(DEVICE, O_RDWR));
  expect(create(device, 2)).toBe('EINVAL');
  expect(k.call('ioctl', device, 0xaa01, 0)).toBe('EINVAL');
  expect(k.call('ioctl', device, 0xc018aa3f, 0)).toBe('EINVAL');
  expect(k.call('read', device, 0x600000000000, 8)).toBe('EINVAL');
  expect(k.call('write', device, 0x600000000000, 8)).toBe('EINVAL');
});
test('a user may not open it, and may use one that root has opened', () => {
  const device = k.open(DEVICE, O_RDWR);
  k.task.uid = 1000;
  expect(k.open(DEVICE, O_RDWR)).toBe('EACCES');
  expect(typeof create(device, 0)).toBe('number');
});
test('the system call asks a user for USER_MODE_ONLY before it looks at the flags', () => {
  k.task.uid = 1000;
  expect(k.call('userfaultfd', 0)).toBe('EPERM');
  expect(k.call('userfaultfd', 2)).toBe('EPERM');
  expect(k.call('userfaultfd', 2 | UFFD_USER_MODE_ONLY)).toBe('EINVAL');
  expect(typeof k.call('userfaultfd', UFFD_USER_MODE_ONLY)).toBe('number');
});
test('vm.unprivileged_userfaultfd takes 0 and 1, and lets users watch the kernel', () => {
  const store = (text: string): number | string => {
    const result = STORES[SYSCTL]?.(text);
    if (typeof result !== 'number') return 'no setting';
    return result < 0 ? errnoName(-result) : result;
  };
  expect(['2', 'x', '1\n'].map(store)).toEqual(['EINVAL', 'EINVAL', 0]);
  k.task.uid = 1000;
  expect(typeof k.call('userfaultfd', 0)).toBe('number');
});
