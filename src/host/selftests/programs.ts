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
  /** Changes settings of the machine or needs such a change: only when `--only` names it. */
  readonly settings?: string;
}

const NOBODY = 65_534;
const UFFD = ['uffd-common'];
const HUGETLB = 'nr_hugepages';

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
  { name: 'pagemap_ioctl' },
  { name: 'uffd-unit-tests', with: UFFD },
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
    settings: HUGETLB,
  },
  {
    name: 'uffd-stress-hugetlb-private',
    source: 'uffd-stress',
    args: ['hugetlb-private', '20', '4'],
    with: UFFD,
    settings: HUGETLB,
  },
  { name: 'transhuge-stress', args: ['-d', '3', '64'] },
  { name: 'split_huge_page_test', settings: 'split_huge_pages' },
  { name: 'ksm_functional_tests', settings: 'ksm/run' },
  { name: 'thuge-gen', settings: HUGETLB },
  { name: 'map_hugetlb', settings: HUGETLB },
  { name: 'hugepage-mmap', settings: HUGETLB },
  { name: 'hugepage-mremap', settings: HUGETLB },
  { name: 'hugepage-shm', settings: HUGETLB },
  { name: 'hugetlb-madvise', settings: HUGETLB },
  { name: 'hugetlb_fault_after_madv', settings: HUGETLB },
  { name: 'hugetlb_madv_vs_map', settings: HUGETLB },
];

/** @returns the programs asked for; without names those that leave the machine as it is; or an unknown name */
export function chosenPrograms(names: readonly string[]): readonly SelftestProgram[] | string {
  if (names.length === 0) return PROGRAMS.filter((program) => program.settings === undefined);
  const unknown = names.find((name) => !PROGRAMS.some((program) => program.name === name));
  return unknown ?? PROGRAMS.filter((program) => names.includes(program.name));
}
