/** docs/historical-bugs.md: bugs that Linux had, the patches that put them back, and the litmus files that show them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { patchByName } from '../../src/kernel/patches/table.ts';
import { litmusNames } from './claims.ts';
import { generatedNotice, type Page } from './page.ts';

export interface Bug {
  /** As races.md numbers it: files named after it begin `h26-`. */
  readonly id: string;
  readonly what: string;
  /** Commit or CVE. */
  readonly fixed: string;
  /** Releases that had it. */
  readonly had: string;
  /** Files that show it under another name. */
  readonly also?: readonly string[];
  /** What a file for it waits for; absent: there is one. */
  readonly waits?: string;
  /** Parts of it that no file shows. */
  readonly missing?: string;
}

export const BUGS: readonly Bug[] = [
  {
    id: 'H1',
    what: 'UFFDIO_MOVE moves the entry of a swapped page and leaves its folio in the swap cache behind, under the old address',
    fixed: 'c50f8e6053b0',
    had: '6.8 to 6.13',
  },
  {
    id: 'H2',
    what: 'between looking for a swapped page’s folio and moving its entry, the slot is used again for another one',
    fixed: '0ea148a79919, CVE-2025-38242',
    had: '6.8 to 6.15',
  },
  {
    id: 'H3',
    what: 'two calls of UFFDIO_MOVE for pages of one huge page: each keeps the other from splitting it, for ever',
    fixed: '37b338eed105',
    had: '6.8 to 6.13',
  },
  {
    id: 'H4',
    what: 'UFFDIO_MOVE sleeps for a page while it has page tables mapped (RCU)',
    fixed: '927e926d72d9',
    had: '6.8 to 6.13',
  },
  {
    id: 'H7',
    what: 'UFFDIO_MOVE drops the write protection of what it moves',
    fixed: 'proposed in 2026; 6.18 has the bug',
    had: 'since 6.8',
  },
  {
    id: 'H8',
    what: 'UFFDIO_MOVE waits for the lock of the second mapping while it holds the first',
    fixed: 'before the release',
    had: '6.8-rc',
  },
  {
    id: 'H11',
    what: 'a shared table of huge pages is given up while GUP-fast walks it',
    fixed: '1013af4f585f, CVE-2025-38085',
    had: 'before 6.16',
    waits: 'devices that pin huge pages in a litmus file; `lockless-walk.test.ts` has the race',
  },
  {
    id: 'H12',
    what: 'a shared table of huge pages is given up before the mapping is cut, and shared again before it is',
    fixed: '081056dc00a2, CVE-2025-38084',
    had: 'before 6.16',
  },
  {
    id: 'H13',
    what: 'write-protecting huge pages that were never touched has no effect',
    fixed: '0f230bc24b6e',
    had: '5.19 to 6.3',
  },
  {
    id: 'H14',
    what: 'fork of huge pages asks the wrong mapping whether write protection stays',
    fixed: '5a2f8d22ace4',
    had: '5.19 to 6.3',
  },
  {
    id: 'H15',
    what: 'a child that nobody watches keeps write protection and its markers',
    fixed: '8f34f1eac382, 49d6d7fb6313',
    had: 'before 5.14 (pages), 5.19 to 6.1 (markers)',
  },
  {
    id: 'H18',
    what: 'mprotect gives back the right to write shared memory that userfaultfd protects',
    fixed: '51d3d5eb74ff',
    had: '5.19 to 6.1',
  },
  {
    id: 'H19',
    what: 'a page is copied for a write while another processor may still write it through its TLB',
    fixed: '6ce64428d620',
    had: '5.7 to 5.11',
    also: ['cow-vs-stale-tlb'],
  },
  {
    id: 'H20',
    what: 'mprotect makes an entry writable although soft-dirty waits for the next write',
    fixed: '76aefad628aa',
    had: 'before 6.0',
  },
  {
    id: 'H21',
    what: 'clear_refs returns before its flush: writes through old TLB entries are not soft-dirty',
    fixed: '912efa17e512',
    had: '5.6 to 5.10',
  },
  {
    id: 'H23',
    what: 'collapsing shared memory fills holes that a monitor waits for',
    fixed: 'mm/khugepaged: skip shmem with userfaultfd',
    had: 'before 6.4',
  },
  {
    id: 'H24',
    what: 'a collapse takes page tables away without looking again: what was just copied for a write is lost',
    fixed: '023f47a8250c, 8d3c106e19e8, f268f6cf875f, 70cbc3cc78a9',
    had: 'before 6.2, each its own releases',
    missing: 'tables taken away without telling notifiers, or under walks without locks',
  },
  {
    id: 'H26',
    what: 'mremap: (a) the flush comes after the locks; (b) whole tables move without those of the reverse mapping',
    fixed: 'eb66ae030829, CVE-2018-18281; 97113eb39fa7, CVE-2022-41222',
    had: '(a) before 4.20, (b) 5.0 to 5.13',
  },
  {
    id: 'H27',
    what: 'Dirty COW: a forced write forgets that it wants to write once it has made its copy, which is dropped',
    fixed: '19be0eaffa3a, CVE-2016-5195',
    had: 'before 4.9',
  },
  {
    id: 'H29',
    what: 'vmsplice: a child reads through a pipe what its parent writes later',
    fixed: '17839856fd58, CVE-2020-29374',
    had: 'before 5.8',
  },
  {
    id: 'H31',
    what: 'a core dump walks mappings without mmap_lock while the userfaultfd is closed and mappings are joined',
    fixed: '04f5866e41fb, CVE-2019-11599',
    had: 'before 5.1',
    waits: 'core dumps, which are not modelled: nothing here walks mappings without a lock or RCU',
  },
  {
    id: 'H32',
    what: 'a fork that fails tells a monitor of a child all the same',
    fixed: 'f64e67e5d3a4',
    had: 'before 6.12',
  },
  {
    id: 'H34',
    what: 'changing a huge page empties its entry for a moment: MADV_DONTNEED passes it by',
    fixed: 'ced108037c2a, 58ceeb6bec86, 5b7abeae3af8',
    had: 'before 4.12',
  },
  {
    id: 'H36',
    what: 'a fault reads a swapped page past the swap cache, and the slot is used again meanwhile',
    fixed: '13ddaf26be32',
    had: '4.15 to 6.7',
    also: ['swap-in-twice', 'swap-in-twice-data'],
    missing: 'swapoff against freeing a slot (82b1c07a0af6)',
  },
  {
    id: 'H37',
    what: 'a child takes over an anon_vma that others still need: its pages stay behind when it is freed',
    fixed: '2555283eb40d, CVE-2022-42703',
    had: 'before 6.0',
    waits:
      'fewer schedules: it takes seven processes. Patch `anon-vma-degree`; `anon-vma-degree.test.ts` shows it under one schedule',
  },
  {
    id: 'H38',
    what: 'PAGEMAP_SCAN protects an entry with a plain write and loses what the processor notes in it meanwhile',
    fixed: '4980e837cab7 and later',
    had: '6.7 and 6.8',
  },
  {
    id: 'H41',
    what: 'closing a userfaultfd waits for mmap_lock, and get_user_pages tries the same page again without letting go of it',
    fixed: 'fe4cdc2c4e24',
    had: 'before 6.15',
  },
  {
    id: 'H42',
    what: 'joining mappings gives a neighbour an anon_vma before it has the neighbour’s lock',
    fixed: 'd8ab9f7b644a',
    had: '6.4',
    waits: 'a want of memory while mappings are joined, without which it does no harm',
  },
  {
    id: 'H45',
    what: 'changing the protection of huge pages takes markers and migration entries for pages',
    fixed: '44f86392bdd1, 0e678153f5be',
    had: '5.19 to 6.1',
    waits: 'memory of huge pages (hugetlb) in litmus files',
  },
];

/** Names of the litmus files that show a bug, sorted. */
export function filesOfBug(bug: Bug, names: readonly string[]): string[] {
  const prefix = `${bug.id.toLowerCase()}-`;
  return names.filter((name) => name.startsWith(prefix) || bug.also?.includes(name)).sort();
}

/** A stack of patches under which a file expects something. */
export interface Condition {
  readonly patches: readonly string[];
  /** `breaks` or `holds`. */
  readonly expects: string;
}

/** What a file expects of patches, in its order. */
export function conditionsOf(root: string, name: string): Condition[] {
  const text = readFileSync(join(root, 'litmus', `${name}.flt`), 'utf8');
  const found = text.matchAll(/^with patch (\S+(?:, \S+)*) (breaks|holds)\b/gm);
  return [...found].map(([, list = '', expects = '']) => ({ patches: list.split(', '), expects }));
}

function shownPatch(name: string): string {
  if (name.startsWith('without-')) return `\`${name}\``;
  const patch = patchByName(name);
  return patch === null ? `\`${name}\`` : `\`${name}\` (${patch.versions})`;
}

function row(root: string, bug: Bug, names: readonly string[]): string {
  const files = filesOfBug(bug, names);
  const patches = files.flatMap((name) => conditionsOf(root, name)).flatMap((c) => c.patches);
  const shown = files.map((name) => {
    const expected = conditionsOf(root, name).map((c) => `${c.patches.join(' + ')}: ${c.expects}`);
    return expected.length === 0 ? `\`${name}\`` : `\`${name}\` (${expected.join('; ')})`;
  });
  const none = files.length === 0 ? [`**none yet**: waits for ${bug.waits ?? '?'}`] : [];
  const parts = bug.missing === undefined ? [] : [`none of: ${bug.missing}`];
  const unique = [...new Set(patches)].map(shownPatch);
  const cells = [
    bug.id,
    bug.what,
    bug.fixed,
    bug.had,
    unique.join('<br>'),
    [...shown, ...none, ...parts].join('<br>'),
  ];
  return `| ${cells.join(' | ')} |`;
}

export function pages(root: string): Page[] {
  const names = litmusNames(root);
  const missing = BUGS.filter((bug) => filesOfBug(bug, names).length === 0).map((bug) => bug.id);
  const text = `${generatedNotice('scripts/docs/historical-bugs.ts and litmus/')}

# Historical bugs

Bugs that Linux had in what is modelled here. A patch puts each of them back, and a litmus file breaks with it and holds without:
\`faultline check litmus/FILE.flt --patch PATCH\`. In brackets behind a patch stand the versions whose profiles have it
(\`none\`: no release, \`proposed\`: a change that no kernel has); \`without-NAME\` removes one second look, see [mutations.md](mutations.md). The numbers are those of the list of races that the project
began with; those left out are of features outside of it.

${missing.length === 0 ? 'Every bug has a file.' : `Without a file: ${missing.join(', ')}.`}

| | what it was | fixed by | releases | patches | litmus files |
| --- | --- | --- | --- | --- | --- |
${BUGS.map((bug) => row(root, bug, names)).join('\n')}
`;
  return [{ path: 'docs/historical-bugs.md', text }];
}
