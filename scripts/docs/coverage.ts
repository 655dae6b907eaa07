/** docs/coverage.md: what is modelled and what is not, from the tables that the kernel itself uses. */
import { PATHS } from '../../src/kernel/fs/pseudo.ts';
import { UFFD_IOCTLS } from '../../src/kernel/fs/userfaultfd-ioctl.ts';
import { ADVICE } from '../../src/kernel/mm/madvise.ts';
import { PROFILES } from '../../src/kernel/profiles.ts';
import { SYSCALLS } from '../../src/kernel/syscall/table.ts';
import { UFFD_FEATURE_NAMES } from '../../src/uapi/userfaultfd.ts';
import { generatedNotice, type Page } from './page.ts';

/** Calls of Linux that are about memory, in the order of their riscv64 numbers; those with a row are modelled. */
const MEMORY_CALLS: readonly string[] = [
  ...['shmget', 'shmctl', 'shmat', 'shmdt', 'brk', 'munmap', 'mremap', 'mmap', 'mprotect'],
  ...['msync', 'mlock', 'munlock', 'mlockall', 'munlockall', 'mincore', 'madvise'],
  ...['remap_file_pages', 'mbind', 'get_mempolicy', 'set_mempolicy', 'migrate_pages', 'move_pages'],
  ...[
    'process_vm_readv',
    'process_vm_writev',
    'memfd_create',
    'userfaultfd',
    'membarrier',
    'mlock2',
  ],
  ...['pkey_mprotect', 'pkey_alloc', 'pkey_free', 'process_madvise', 'memfd_secret'],
  ...['process_mrelease', 'set_mempolicy_home_node', 'cachestat', 'map_shadow_stack', 'mseal'],
];

/** Features that the handshake offers as 6.18 does, although the memory they are about is not there yet. */
const WITHOUT_MEMORY: Readonly<Record<string, string>> = {
  missing_hugetlbfs: 'hugetlbfs',
  missing_shmem: 'shared memory',
  minor_hugetlbfs: 'hugetlbfs',
  minor_shmem: 'shared memory',
  wp_hugetlbfs_shmem: 'hugetlbfs and shared memory',
};

export function pages(): Page[] {
  return [{ path: 'docs/coverage.md', text: `${sections().join('\n\n')}\n` }];
}

function sections(): string[] {
  const rows = new Set(SYSCALLS.map((row) => row.name));
  const absent = MEMORY_CALLS.filter((name) => !rows.has(name));
  return [
    generatedNotice("the kernel's tables"),
    '# What is modelled and what is not',
    'A system call without a row returns ENOSYS to a program and is named once on standard error; in a litmus file it\nis bad input.',
    '## System calls',
    table(
      ['nr', 'call', 'modelled', 'not modelled'],
      SYSCALLS.map((row) => [
        `${row.nr}`,
        row.name,
        row.supports.length === 0 ? 'yes' : row.supports.join(', '),
        row.gap,
      ]),
    ),
    `Calls about memory that are not there: ${absent.join(', ')}.`,
    '## madvise',
    table(
      ['advice', 'not modelled'],
      ADVICE.map((a) => [a.name, a.gap]),
    ),
    '## ioctls of a userfaultfd',
    table(
      ['ioctl', 'modelled', 'modes', 'not modelled'],
      UFFD_IOCTLS.map((row) => [
        row.name,
        row.handler === null ? 'no' : 'yes',
        Object.keys(row.modes).join(', '),
        row.gap,
      ]),
    ),
    '## Features of userfaultfd',
    table(
      ['feature', 'not modelled'],
      Object.keys(UFFD_FEATURE_NAMES).map((name) => [
        `UFFD_FEATURE_${name.toUpperCase()}`,
        Object.hasOwn(WITHOUT_MEMORY, name)
          ? `${WITHOUT_MEMORY[name]}: offered, without use yet`
          : '',
      ]),
    ),
    '## Files a program can open',
    PATHS.map((path) => `- \`${path}\``).join('\n'),
    '## Kernel versions',
    table(
      ['profile', 'patches', 'not carried'],
      PROFILES.map((p) => [
        p.title,
        p.patches.map((patch) => patch.name).join(', '),
        p.missing.map((m) => m.what).join('; '),
      ]),
    ),
  ];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
