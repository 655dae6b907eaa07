/** File systems as statfs(2) and stat(2) name them. @linux include/linux/fs.h struct super_block, uapi/linux/magic.h */

export interface SuperBlock {
  /** As the third column of /proc/mounts has it. */
  readonly type: string;
  /** f_type of statfs(2). */
  readonly magic: number;
  readonly major: number;
  readonly minor: number;
  /** Whether pages that are not in memory are on a disk; otherwise the page cache is all there is. */
  readonly onDisk: boolean;
  /** Nothing on it can be changed. */
  readonly readOnly?: boolean;
}

function superBlock(
  type: string,
  magic: number,
  major: number,
  minor: number,
  onDisk = false,
): SuperBlock {
  return { type, magic, major, minor, onDisk };
}

/** memfds and shared anonymous memory: a tmpfs that nobody can mount. @linux mm/shmem.c shm_mnt */
export const SHM_MOUNT: SuperBlock = superBlock('tmpfs', 0x0102_1994, 0, 1);
export const TMPFS: SuperBlock = superBlock('tmpfs', 0x0102_1994, 0, 26);
export const DEVTMPFS: SuperBlock = superBlock('devtmpfs', 0x0102_1994, 0, 6);
export const PROC: SuperBlock = superBlock('proc', 0x9fa0, 0, 23);
export const SYSFS: SuperBlock = superBlock('sysfs', 0x6265_6572, 0, 24);
/** What is on the disk looks like ext4 to who asks. */
export const DISK: SuperBlock = superBlock('ext4', 0xef53, 254, 0, true);
/** Files without a name: pipes, eventfds, userfaultfds. @linux fs/anon_inodes.c */
export const ANON_INODES: SuperBlock = superBlock('anon_inodefs', 0x0904_1934, 0, 15);

/** The kernel's dev_t as user space sees it in st_dev. @linux new_encode_dev */
export function encodeDev({ major, minor }: SuperBlock): number {
  return (minor & 0xff) + major * 256 + Math.floor(minor / 256) * 2 ** 20;
}

/** `fe:00`, as /proc/PID/maps has it. */
export function devText({ major, minor }: SuperBlock): string {
  const two = (n: number): string => n.toString(16).padStart(2, '0');
  return `${two(major)}:${two(minor)}`;
}

/** What is mounted where: source, target, type. */
export const MOUNTS: readonly (readonly [string, string, string])[] = [
  ['/dev/root', '/', 'ext4'],
  ['devtmpfs', '/dev', 'devtmpfs'],
  ['tmpfs', '/dev/shm', 'tmpfs'],
  ['proc', '/proc', 'proc'],
  ['tmpfs', '/run', 'tmpfs'],
  ['sysfs', '/sys', 'sysfs'],
  ['tmpfs', '/tmp', 'tmpfs'],
];
