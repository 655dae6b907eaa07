/** Character devices: /dev/null, /dev/zero, /dev/full, /dev/random, /dev/userfaultfd. @linux drivers/char/mem.c, random.c */
import { Prng } from '../../base/prng.ts';
import type { Steps } from '../../sched/op.ts';
import { ENOSPC } from '../../uapi/errno.ts';
import { S_IFCHR, SEEK_SET } from '../../uapi/fcntl.ts';
import { world } from '../current.ts';
import { consoleFile } from './console.ts';
import { File, type FileOps, POLLIN, POLLOUT } from './file.ts';
import { openUserfaultfdDevice } from './userfaultfd-dev.ts';
import type { Opener } from './vfs-node.ts';

const NULL_OPS: FileOps = {
  kind: 'null',
  *read(): Steps<Uint8Array | number> {
    return new Uint8Array(0);
  },
  *write(_task, _file, data): Steps<number> {
    return data.length;
  },
  seek(file, offset, whence) {
    file.offset = whence === SEEK_SET ? offset : file.offset;
    return 0;
  },
  poll: () => POLLIN | POLLOUT,
  stat: () => ({ size: 0, mode: S_IFCHR | 0o666 }),
};
const ZERO_OPS: FileOps = {
  ...NULL_OPS,
  kind: 'zero',
  *read(_task, _file, count): Steps<Uint8Array | number> {
    return new Uint8Array(count);
  },
};
const FULL_OPS: FileOps = {
  ...ZERO_OPS,
  kind: 'full',
  *write(): Steps<number> {
    return -ENOSPC;
  },
};
/** The same bytes in every run with the same seed, like those of getrandom(2). */
const RANDOM_OPS: FileOps = {
  ...NULL_OPS,
  kind: 'random',
  *read(_task, _file, count): Steps<Uint8Array | number> {
    world.random ??= new Prng(1);
    const { random } = world;
    return Uint8Array.from({ length: count }, () => random.below(256));
  },
};

interface Device {
  readonly path: string;
  readonly rdev: number;
  readonly open: Opener;
  /** By default everybody may read and write. */
  readonly permissions?: number;
}

/** A device of major number 1 (memory devices). */
function memory(name: string, minor: number, ops: FileOps): Device {
  const path = `/dev/${name}`;
  return { path, rdev: 256 + minor, open: (_task, flags) => new File(ops, flags, null, path) };
}

/** Every device that can be opened. */
export const DEVICES: readonly Device[] = [
  memory('null', 3, NULL_OPS),
  memory('zero', 5, ZERO_OPS),
  memory('full', 7, FULL_OPS),
  memory('random', 8, RANDOM_OPS),
  memory('urandom', 9, RANDOM_OPS),
  { path: '/dev/userfaultfd', rdev: 0x100a01, open: openUserfaultfdDevice, permissions: 0o600 },
  { path: '/dev/tty', rdev: 0x500, open: () => consoleFile(1) },
  { path: '/dev/console', rdev: 0x501, open: () => consoleFile(1) },
];
