/**
 * Every system call there is, one row each, out of the files that are named after their man pages. The dispatcher,
 * --strace, litmus and the coverage page all read it. @linux include/uapi/asm-generic/unistd.h
 */
import { rows as brk } from './brk.ts';
import { rows as chmod } from './chmod.ts';
import { rows as clock } from './clock.ts';
import { rows as execve } from './execve.ts';
import { rows as fallocate } from './fallocate.ts';
import { rows as fd } from './fd.ts';
import { rows as fsync } from './fsync.ts';
import { rows as futex } from './futex.ts';
import { rows as getdents } from './getdents.ts';
import { rows as getrusage } from './getrusage.ts';
import { rows as ioctl } from './ioctl.ts';
import { rows as madvise } from './madvise.ts';
import { rows as memfdCreate } from './memfd_create.ts';
import { rows as mincore } from './mincore.ts';
import { rows as misc } from './misc.ts';
import { rows as mlock } from './mlock.ts';
import { rows as mmap } from './mmap.ts';
import { rows as mprotect } from './mprotect.ts';
import { rows as mremap } from './mremap.ts';
import { rows as mseal } from './mseal.ts';
import { rows as munmap } from './munmap.ts';
import { rows as open } from './open.ts';
import { rows as pidfdOpen } from './pidfd-open.ts';
import { rows as poll } from './poll.ts';
import { rows as prctl } from './prctl.ts';
import { rows as process } from './process.ts';
import { rows as processMadvise } from './process-madvise.ts';
import { rows as processMrelease } from './process-mrelease.ts';
import { rows as processVmReadv } from './process-vm-readv.ts';
import { rows as read } from './read.ts';
import { rows as readlink } from './readlink.ts';
import type { SyscallRow } from './row.ts';
import { rows as shm } from './shm.ts';
import { rows as signal } from './signal.ts';

import { rows as socket } from './socket.ts';

import { rows as splice } from './splice.ts';

import { rows as stat } from './stat.ts';
import { rows as statfs } from './statfs.ts';
import { rows as swapon } from './swapon.ts';
import { rows as unlink } from './unlink.ts';
import { rows as userfaultfd } from './userfaultfd.ts';
import { rows as write } from './write.ts';

/** In order of their numbers. */
export const SYSCALLS: readonly SyscallRow[] = [
  ...brk,
  ...clock,
  ...execve,
  ...fallocate,
  ...fd,
  ...fsync,
  ...futex,
  ...getrusage,
  ...ioctl,
  ...madvise,
  ...mincore,
  ...memfdCreate,
  ...misc,
  ...prctl,
  ...processMrelease,
  ...mlock,
  ...mmap,
  ...mprotect,
  ...mremap,
  ...mseal,
  ...munmap,
  ...open,
  ...pidfdOpen,
  ...poll,
  ...process,
  ...processMadvise,
  ...processVmReadv,
  ...read,
  ...shm,
  ...signal,
  ...splice,
  ...userfaultfd,
  ...chmod,
  ...getdents,
  ...readlink,
  ...socket,
  ...stat,
  ...statfs,
  ...swapon,
  ...unlink,
  ...write,
].sort((a, b) => a.nr - b.nr);
