/** The bytes of a file for the kernel itself. @linux fs/kernel_read_file.c */
import { machine } from '../../machine/current.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Steps } from '../../sched/op.ts';
import { world } from '../current.ts';
import { folioUnlockPut } from '../mm/folio-lock.ts';
import { shmemGetFolio } from '../mm/shmem.ts';
import { readContent } from '../mm/user-access.ts';
import { pageToRead } from './disk-file.ts';
import type { Inode } from './inode.ts';

/** Everything in a file, page by page through the cache. @returns the bytes, or a negative errno */
export function* kernelRead(inode: Inode): Steps<Uint8Array | number> {
  const bytes = new Uint8Array(inode.size);
  for (let at = 0; at < bytes.length; at += PAGE_SIZE) {
    const part = bytes.subarray(at, at + PAGE_SIZE);
    const error = yield* readPage(inode, at / PAGE_SIZE, part);
    if (error < 0) return error;
  }
  return bytes;
}

/** Holes stay zeroes. */
function* readPage(inode: Inode, index: number, part: Uint8Array): Steps<number> {
  if (inode.mapping.disk === null) {
    const got = yield* shmemGetFolio(inode, index, 'read', null);
    if (got.kind === 'error') return -got.errno;
    if (got.kind !== 'folio') return 0;
    readContent(got.pfn, 0, part);
    folioUnlockPut(got.pfn);
    return 0;
  }
  const pfn = yield* pageToRead(inode, index, PAGE_SIZE);
  if (pfn === 0 || pfn < 0) return pfn;
  readContent(pfn, 0, part);
  machine.frames.put(pfn, world.owner());
  return 0;
}
