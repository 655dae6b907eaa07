/** What kernel versions can do, row by row, and how each row is known: the data of `faultline profiles`. */
import type { Architecture } from './versions.ts';

/**
 * documented: a man page says since when. read: a commit, a mail or a list of stable releases was looked at. recalled:
 * nobody has checked it here. What 6.18 does on x86-64 is measured besides, where `measured` says so.
 */
export type Known = 'documented' | 'read' | 'recalled';

export interface Since {
  /** First version; null: none so far. */
  readonly version: string | null;
  readonly known: Known;
  readonly source: string;
}

export interface Fact {
  readonly name: string;
  readonly since: Since;
  /** Where architectures differ. */
  readonly on?: Partial<Record<Architecture, Since>>;
  /** Seen on a running 6.18.44. */
  readonly measured: boolean;
  /** The patch that takes it away from older versions; null: not modelled, or never taken away. */
  readonly patch: string | null;
  /** What is missing here; empty: modelled. */
  readonly gap: string;
}

function since(version: string | null, known: Known, source: string): Since {
  return { version, known, source };
}

interface More {
  readonly on?: Fact['on'];
  readonly measured?: boolean;
  readonly gap?: string;
}

function fact(name: string, from: Since, patch: string | null, more: More = {}): Fact {
  const { on, measured = true, gap = '' } = more;
  const base = { name, since: from, measured, patch, gap };
  return on === undefined ? base : { ...base, on };
}

const UFFD2 = 'userfaultfd(2)';
const IOCTL2 = 'ioctl_userfaultfd(2)';
const API2 = 'UFFDIO_API(2const)';
const MADVISE2 = 'madvise(2)';
const SHEET = 'semantics.md section 23';
const NOT_YET = 'not modelled yet';

const WP_ON: Fact['on'] = {
  arm64: since('6.10', 'recalled', '5b32510af77b'),
  riscv64: since(null, 'read', 'Kconfig: wants the extension Svrsw60t59b, later than 6.18'),
};
const MINOR_ON: Fact['on'] = {
  riscv64: since('6.5', 'read', 'a2492ca86c98, merged for 6.5'),
};
const NO_SOFT_DIRTY = since(null, 'recalled', 'semantics.md section 20');

/** In the order in which they came. */
export const FACTS: readonly Fact[] = [
  fact('events FORK, REMAP, REMOVE, UNMAP', since('4.11', 'documented', IOCTL2), null),
  fact('features SIGBUS, THREAD_ID', since('4.14', 'documented', IOCTL2), null),
  fact('soft-dirty, where built in', since('3.11', 'recalled', 'pagemap.rst'), null, {
    on: { arm64: NO_SOFT_DIRTY, riscv64: NO_SOFT_DIRTY },
    measured: false,
    gap: 'asked for: config soft-dirty',
  }),
  fact('write protection of anonymous memory', since('5.7', 'documented', UFFD2), null, {
    on: WP_ON,
  }),
  fact('flag UFFD_USER_MODE_ONLY', since('5.11', 'documented', UFFD2), 'no-user-mode-only'),
  fact(
    'userfaultfd(2) wants CAP_SYS_PTRACE or the sysctl',
    since('5.11', 'recalled', 'd0d4730ac2e4'),
    'anyone-may-create',
  ),
  fact('mode MINOR on hugetlb, UFFDIO_CONTINUE', since('5.13', 'documented', IOCTL2), 'no-minor', {
    on: MINOR_ON,
  }),
  fact('mode MINOR on shmem', since('5.14', 'documented', IOCTL2), 'no-minor-shmem', {
    on: MINOR_ON,
  }),
  fact('MADV_POPULATE_READ, _WRITE', since('5.14', 'documented', MADVISE2), 'no-populate'),
  fact(
    'a second UFFDIO_API zeroes its struct',
    since('5.15', 'read', '22e5fe2a2a27; 5.10.67 has it'),
    'second-handshake-early',
  ),
  fact('feature EXACT_ADDRESS', since('5.18', 'documented', API2), 'no-exact-address'),
  fact('MADV_DONTNEED_LOCKED', since('5.18', 'recalled', '9457056ac426'), 'no-dontneed-locked'),
  fact(
    'write protection of shmem and hugetlb',
    since('5.19', 'documented', UFFD2),
    'no-wp-on-files',
    { on: WP_ON },
  ),
  fact('/dev/userfaultfd', since('6.1', 'recalled', SHEET), 'no-userfaultfd-device'),
  fact('MADV_COLLAPSE', since('6.1', 'documented', MADVISE2), 'no-collapse'),
  fact('feature WP_UNPOPULATED', since('6.4', 'documented', API2), 'no-wp-unpopulated', {
    on: WP_ON,
  }),
  fact(
    'UFFDIO_WRITEPROTECT over several mappings',
    since('6.4', 'read', 'a1b92a3f1498'),
    'wp-one-vma',
    { on: WP_ON },
  ),
  fact('page faults lock one mapping', since('6.4', 'recalled', '5e31275cc997'), 'no-vma-locks', {
    measured: false,
  }),
  fact('UFFDIO_POISON', since('6.6', 'documented', API2), 'no-poison'),
  fact('feature WP_ASYNC', since('6.7', 'documented', API2), 'no-wp-async', { on: WP_ON }),
  fact('PAGEMAP_SCAN', since('6.7', 'recalled', SHEET), 'no-pagemap-scan'),
  fact('UFFDIO_MOVE', since('6.8', 'documented', API2), 'no-move'),
  fact('fills lock one mapping', since('6.9', 'recalled', '867a43a34ff8'), 'no-fill-vma-locks', {
    measured: false,
  }),
  fact(
    'mmap_changing has a lock',
    since('6.9', 'recalled', '5e4c24a57b0c'),
    'mmap-changing-unlocked',
    { measured: false },
  ),
  fact('mseal(2)', since('6.10', 'recalled', '8be7258aad44'), 'no-mseal'),
  fact(
    'MADV_GUARD_INSTALL on private anonymous memory',
    since('6.13', 'recalled', '662df3e5c376'),
    'no-guard-regions',
  ),
  fact('MADV_DONTNEED frees empty page tables', since('6.14', 'recalled', SHEET), 'no-pt-reclaim', {
    measured: false,
  }),
  fact('MADV_GUARD_INSTALL on file memory', since('6.15', 'recalled', SHEET), null, {
    gap: NOT_YET,
  }),
  fact(
    'MADV_DONTNEED locks one mapping',
    since('6.17', 'recalled', SHEET),
    'no-madvise-vma-locks',
    { measured: false },
  ),
  fact('mremap(2) moves several mappings', since('6.17', 'recalled', SHEET), 'mremap-one-vma'),
  fact(
    'UFFDIO_UNREGISTER only of its own mappings',
    since('6.18', 'recalled', SHEET),
    'unregister-any-ctx',
  ),
];

/** The first version that has something on an architecture. */
export function sinceOn(row: Fact, architecture: Architecture): Since {
  return row.on?.[architecture] ?? row.since;
}

/** A way in which versions differ within what is modelled, and which no patch makes: their profiles are partial. */
export interface Unlike {
  readonly what: string;
  readonly versions: string;
  readonly architectures?: readonly Architecture[];
  readonly source: string;
}

export const UNLIKE: readonly Unlike[] = [
  {
    what: 'mappings merge as in 6.18 here; older kernels leave some neighbours apart',
    versions: '<6.16',
    source: 'recalled: 879bca0a2c4f',
  },
  {
    what: 'unprotecting gives write permission back at once here; older kernels take another page fault',
    versions: '<6.2',
    source: 'recalled: 64fe24a3e05e',
  },
  {
    what: 'UFFDIO_CONTINUE_MODE_WP is known here; it came with 6.4',
    versions: '<6.4',
    source: 'recalled: 0289184476c8',
  },
  {
    what: 'memfd_create knows MFD_EXEC and MFD_NOEXEC_SEAL here; they came with 6.3',
    versions: '<6.3',
    source: 'recalled: 105ff5339f49',
  },
  {
    what: 'pages have AnonExclusive here; older kernels decide by counts whether a write copies',
    versions: '<5.19',
    source: 'semantics.md section 23',
  },
  {
    what: 'user space ends at 47 bits here, as on x86-64; it ends at 38 to 57 bits there',
    versions: '>=4.3',
    architectures: ['riscv64'],
    source: 'semantics.md section 20',
  },
  {
    what: 'user space ends at 47 bits here, as on x86-64; it ends at 48 bits there',
    versions: '>=4.3',
    architectures: ['arm64'],
    source: 'recalled',
  },
];
