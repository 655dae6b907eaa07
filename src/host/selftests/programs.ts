/**
 * Which of the kernel's own selftests are run, and how: as tools/testing/selftests/mm/run_vmtests.sh does, with less
 * memory and time where a test takes as much as it is given.
 */

export interface SelftestProgram {
  /** What `--only` names; also the file, unless `source` says otherwise. */
  readonly name: string;
  /** File without `.c`, when several programs are one file with different arguments. */
  readonly source?: string;
  readonly args?: readonly string[];
  /** Further files of the folder that it is linked with. */
  readonly with?: readonly string[];
  /** User id; root unless given. */
  readonly uid?: number;
  /** Pages of 2 MiB in the pool while it runs, on both sides; the machine's is changed for that: see `chosenPrograms`. */
  readonly hugepages?: number;
  /** A setting of the machine that it changes itself. */
  readonly settings?: string;
}

const NOBODY = 65_534;
const UFFD = ['uffd-common'];
/** What uffd-unit-tests and thuge-gen ask for. */
const POOL = 300;

export const PROGRAMS: readonly SelftestProgram[] = [
  { name: 'mremap_test' },
  { name: 'mremap_dontunmap' },
  { name: 'madv_populate' },
  { name: 'map_fixed_noreplace' },
  { name: 'map_populate' },
  { name: 'mkdirty' },
  { name: 'mlock2-tests' },
  { name: 'mseal_test' },
  { name: 'seal_elf' },
  { name: 'on-fault-limit', uid: NOBODY },
  { name: 'droppable' },
  { name: 'mrelease_test' },
  { name: 'mdwe_test' },
  { name: 'soft-dirty' },
  { name: 'pagemap_ioctl', hugepages: POOL },
  { name: 'uffd-unit-tests', with: UFFD, hugepages: POOL },
  { name: 'uffd-stress-anon', source: 'uffd-stress', args: ['anon', '20', '4'], with: UFFD },
  { name: 'uffd-stress-shmem', source: 'uffd-stress', args: ['shmem', '20', '4'], with: UFFD },
  {
    name: 'uffd-stress-shmem-private',
    source: 'uffd-stress',
    args: ['shmem-private', '20', '4'],
    with: UFFD,
  },
  {
    name: 'uffd-stress-hugetlb',
    source: 'uffd-stress',
    args: ['hugetlb', '20', '4'],
    with: UFFD,
    hugepages: POOL,
  },
  {
    name: 'uffd-stress-hugetlb-private',
    source: 'uffd-stress',
    args: ['hugetlb-private', '20', '4'],
    with: UFFD,
    hugepages: POOL,
  },
  { name: 'transhuge-stress', args: ['-d', '3', '64'] },
  { name: 'split_huge_page_test', settings: 'split_huge_pages' },
  { name: 'ksm_functional_tests', settings: 'ksm/run' },
  { name: 'thuge-gen', hugepages: POOL },
  { name: 'map_hugetlb', hugepages: POOL },
  { name: 'hugepage-mmap', hugepages: POOL },
  { name: 'hugepage-mremap', hugepages: POOL },
  { name: 'hugepage-shm', hugepages: POOL },
  { name: 'hugetlb-madvise', hugepages: POOL },
  { name: 'hugetlb_fault_after_madv', hugepages: 1 },
  { name: 'hugetlb_madv_vs_map', hugepages: 1 },
];

/** @returns the programs asked for; without names those that leave the machine as it is, or all; or an unknown name */
export function chosenPrograms(
  names: readonly string[],
  all: boolean,
): readonly SelftestProgram[] | string {
  if (names.length === 0) {
    return all
      ? PROGRAMS
      : PROGRAMS.filter((p) => p.settings === undefined && p.hugepages === undefined);
  }
  const unknown = names.find((name) => !PROGRAMS.some((program) => program.name === name));
  return unknown ?? PROGRAMS.filter((program) => names.includes(program.name));
}
