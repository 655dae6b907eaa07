/** Error numbers as user space sees them. A call returns `-EINVAL`; nothing throws for control flow. */

const TABLE = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  ENOEXEC: 8,
  EBADF: 9,
  ECHILD: 10,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  EFBIG: 27,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EPIPE: 32,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  EOVERFLOW: 75,
  ENOTSOCK: 88,
  EMSGSIZE: 90,
  EPROTONOSUPPORT: 93,
  ESOCKTNOSUPPORT: 94,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  ECONNRESET: 104,
  EISCONN: 106,
  ENOTCONN: 107,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHWPOISON: 133,
} as const;

export type ErrnoName = keyof typeof TABLE;

export const EPERM: number = TABLE.EPERM;
export const ENOENT: number = TABLE.ENOENT;
export const ESRCH: number = TABLE.ESRCH;
export const EINTR: number = TABLE.EINTR;
export const EIO: number = TABLE.EIO;
export const ENXIO: number = TABLE.ENXIO;
export const E2BIG: number = TABLE.E2BIG;
export const ENOEXEC: number = TABLE.ENOEXEC;
export const EBADF: number = TABLE.EBADF;
export const ECHILD: number = TABLE.ECHILD;
export const EAGAIN: number = TABLE.EAGAIN;
export const ENOMEM: number = TABLE.ENOMEM;
export const EACCES: number = TABLE.EACCES;
export const EFAULT: number = TABLE.EFAULT;
export const EBUSY: number = TABLE.EBUSY;
export const EEXIST: number = TABLE.EEXIST;
export const ENODEV: number = TABLE.ENODEV;
export const ENOTDIR: number = TABLE.ENOTDIR;
export const EISDIR: number = TABLE.EISDIR;
export const EINVAL: number = TABLE.EINVAL;
export const EMFILE: number = TABLE.EMFILE;
export const ENOTTY: number = TABLE.ENOTTY;
export const EFBIG: number = TABLE.EFBIG;
export const ENOSPC: number = TABLE.ENOSPC;
export const ESPIPE: number = TABLE.ESPIPE;
export const EPIPE: number = TABLE.EPIPE;
export const EXDEV: number = TABLE.EXDEV;
export const ENOTEMPTY: number = TABLE.ENOTEMPTY;
export const ELOOP: number = TABLE.ELOOP;
export const EROFS: number = TABLE.EROFS;
export const ENOTSOCK: number = TABLE.ENOTSOCK;
export const EMSGSIZE: number = TABLE.EMSGSIZE;
export const EPROTONOSUPPORT: number = TABLE.EPROTONOSUPPORT;
export const ESOCKTNOSUPPORT: number = TABLE.ESOCKTNOSUPPORT;
export const EAFNOSUPPORT: number = TABLE.EAFNOSUPPORT;
export const ECONNRESET: number = TABLE.ECONNRESET;
export const EISCONN: number = TABLE.EISCONN;
export const ENOTCONN: number = TABLE.ENOTCONN;
export const ECONNREFUSED: number = TABLE.ECONNREFUSED;
export const ENAMETOOLONG: number = TABLE.ENAMETOOLONG;
export const ERANGE: number = TABLE.ERANGE;
export const EDEADLK: number = TABLE.EDEADLK;
export const ENOSYS: number = TABLE.ENOSYS;
export const EOVERFLOW: number = TABLE.EOVERFLOW;
export const EOPNOTSUPP: number = TABLE.EOPNOTSUPP;
export const ETIMEDOUT: number = TABLE.ETIMEDOUT;
export const EHWPOISON: number = TABLE.EHWPOISON;

/** The kernel's own "start the call again after the signal": never seen by user space. */
export const ERESTARTSYS = 512;
/** The same, whatever the handler's SA_RESTART says. */
export const ERESTARTNOINTR = 513;

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(TABLE).map(([n, v]) => [v, n]));

/** `EINVAL` for 22; `errno 99` for numbers without a name here. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`;
}
/** Every name there is. */
export const ERRNO_NAMES: readonly string[] = Object.keys(TABLE);

/** 22 for `EINVAL`, undefined for anything that is no errno name. */
export function errnoValue(name: string): number | undefined {
  return Object.hasOwn(TABLE, name) ? TABLE[name as ErrnoName] : undefined;
}
/** Whether a system call's result is an error. */
export function isErr(result: number): boolean {
  return result < 0 && result >= -4095;
}
