/** How pages are asked for. @linux include/linux/mm_types.h FOLL_* */
import type { Brand } from '../../base/brand.ts';

export type FollFlags = Brand<number, 'FollFlags'>;

/** The pages are going to be written. */
export const FOLL_WRITE = (1 << 0) as FollFlags;
/** A plain reference to each page. */
export const FOLL_GET = (1 << 1) as FollFlags;
/** Give up where there is no page rather than make one: core dumps. */
export const FOLL_DUMP = (1 << 2) as FollFlags;
/** Reads without PROT_READ and writes to private memory without PROT_WRITE: debuggers. */
export const FOLL_FORCE = (1 << 3) as FollFlags;
/** Start what takes long, and do not wait for it. */
export const FOLL_NOWAIT = (1 << 4) as FollFlags;
export const FOLL_NOFAULT = (1 << 5) as FollFlags;
/** Tell poison (EHWPOISON) from other failures (EFAULT). */
export const FOLL_HWPOISON = (1 << 6) as FollFlags;
/** Anonymous memory only. */
export const FOLL_ANON = (1 << 7) as FollFlags;
/** The pin stays for as long as user space likes. */
export const FOLL_LONGTERM = (1 << 8) as FollFlags;
/** Signals that do not kill end the wait too. */
export const FOLL_INTERRUPTIBLE = (1 << 11) as FollFlags;
/** Mark the pages accessed, and dirty when they are to be written. */
export const FOLL_TOUCH = (1 << 16) as FollFlags;
/** The fault was tried before. */
export const FOLL_TRIED = (1 << 17) as FollFlags;
/** Somebody else's memory. */
export const FOLL_REMOTE = (1 << 18) as FollFlags;
/** A pin on each page: the holder uses its bytes by its own means. */
export const FOLL_PIN = (1 << 19) as FollFlags;
/** Only what can be had without a lock. */
export const FOLL_FAST_ONLY = (1 << 20) as FollFlags;
/** mmap_lock may be dropped while a fault waits. */
export const FOLL_UNLOCKABLE = (1 << 21) as FollFlags;

export function foll(flags: FollFlags, bits: FollFlags): boolean {
  return (flags & bits) !== 0;
}
export function withFoll(...flags: readonly FollFlags[]): FollFlags {
  return flags.reduce((sum, f) => sum | f, 0) as FollFlags;
}
