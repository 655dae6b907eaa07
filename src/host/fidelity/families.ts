/** Which operations random programs are made of, and how often each comes. */

/** Kinds of operations that a run can be limited to. */
export const FAMILIES = {
  map: ['mmap', 'munmap', 'mprotect', 'mremap', 'brk'],
  access: ['load', 'store'],
  file: ['mapfile', 'truncate', 'fallocate', 'pwrite', 'pread'],
  madvise: ['madvise'],
  lock: ['mlock', 'mlock2', 'munlock', 'mlockall', 'munlockall', 'mseal', 'mincore', 'msync'],
  fork: ['fork', 'switch', 'exit'],
  userfaultfd: [
    'uffd',
    'register',
    'unregister',
    'wake',
    'copy',
    'zeropage',
    'writeprotect',
    'read',
    'poll',
    'close',
    'fdinfo',
    'structs',
    'poison',
    'move',
    'continue',
  ],
} as const satisfies Readonly<Record<string, readonly string[]>>;
export type Family = keyof typeof FAMILIES;

/** How often each operation comes, before a run limits it. Accesses are what makes the others matter. */
export const WEIGHTS: Readonly<Record<string, number>> = {
  mmap: 10,
  munmap: 5,
  mprotect: 10,
  mremap: 10,
  brk: 3,
  mapfile: 12,
  truncate: 3,
  fallocate: 5,
  pwrite: 4,
  pread: 2,
  load: 12,
  store: 22,
  madvise: 14,
  mlock: 3,
  mlock2: 2,
  munlock: 2,
  mlockall: 1,
  munlockall: 1,
  mseal: 1,
  mincore: 2,
  msync: 2,
  fork: 3,
  switch: 5,
  exit: 1,
  uffd: 1,
  register: 8,
  unregister: 3,
  wake: 1,
  copy: 7,
  zeropage: 4,
  poison: 3,
  move: 6,
  continue: 1,
  writeprotect: 10,
  read: 3,
  poll: 2,
  fdinfo: 2,
  structs: 1,
  close: 1,
};

/** Whether an operation is one on the program's memfd. */
export function isFileCall(op: string): boolean {
  return FAMILIES.file.some((name) => name === op);
}
