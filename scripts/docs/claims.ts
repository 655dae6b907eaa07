/** docs/claims.md: what the five mails under discussion claim, and the litmus files that show it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { generatedNotice, type Page } from './page.ts';

export interface Claim {
  /** As races.md numbers it: files named after it begin `s1-4-`. */
  readonly id: string;
  readonly claim: string;
  readonly verdict: string;
  /** Files that show it under another name. */
  readonly also?: readonly string[];
  /** What a file for it waits for; absent: there is one. */
  readonly waits?: string;
}

export interface Mail {
  readonly title: string;
  readonly claims: readonly Claim[];
}

export const MAILS: readonly Mail[] = [
  {
    title: 'mm/userfaultfd: Support WP on multiple VMAs (2023-02-17)',
    claims: [
      {
        id: 'S0.1',
        claim: 'UFFDIO_WRITEPROTECT refuses a registered range that is several mappings',
        verdict: 'true before 6.4, fixed by a1b92a3f1498',
        also: ['wp-multi-vma'],
      },
      {
        id: 'S0.2',
        claim: 'an error in the middle leaves what lies before changed, and wakes nobody',
        verdict: 'true since 6.4: the price of the fix, which the mail does not name',
      },
      {
        id: 'S0.3',
        claim: 'a page mapped afresh stays a mapping apart unless every attribute is applied again',
        verdict: 'true of advice; undoing all makes it one again. Of hugetlb it is always true',
      },
      {
        id: 'S0.4',
        claim: 'a snapshot that registers, fails to protect and goes on holds later writes',
        verdict: 'true before 6.4',
      },
      {
        id: 'S0.5',
        claim: 'mapping a poisoned page of a file afresh finds the poison again',
        verdict: 'true; the hole has to be punched',
      },
    ],
  },
  {
    title: 'guard regions RFC 3/4 (2024-10-14)',
    claims: [
      {
        id: 'S1.1',
        claim: 'markers before the anon_vma: khugepaged takes their page table away',
        verdict: 'true of the order proposed, once guards are allowed on files',
      },
      {
        id: 'S1.2',
        claim: 'the same when the anon_vma fails: an error, and guards that a fork forgets',
        verdict: 'true of the order proposed',
      },
      {
        id: 'S1.3',
        claim: 'a huge fault between zapping and walking makes the call fail',
        verdict: 'EAGAIN in the RFC; 6.18 tries again',
      },
      {
        id: 'S1.4',
        claim: 'trying again under mmap_lock starves writers',
        verdict: 'refuted for 6.18: the lock is dropped in between',
      },
      {
        id: 'S1.5',
        claim: 'trying again ends when nobody interferes',
        verdict: 'true of anonymous memory; false of files with write protection, seen on 6.18',
      },
      {
        id: 'S1.6',
        claim: 'retract_page_tables skips write-protected mappings only: other markers are lost',
        verdict: 'true of poison',
      },
      {
        id: 'S1.7',
        claim: 'removing guards makes page tables',
        verdict: 'refuted in the thread and here',
      },
      {
        id: 'S1.8',
        claim: 'guards over files survive a collapse',
        verdict: 'true, measured on 6.18',
      },
    ],
  },
  {
    title: 'userfaultfd: UFFDIO_REMAP uABI (2023-09-15)',
    claims: [
      {
        id: 'S2.1',
        claim: 'telling notifiers without waiting lets a guest use a page that has moved',
        verdict: 'true of the proposal',
      },
      {
        id: 'S2.2',
        claim: 'waiting for notifiers where the proposal told them is sleeping in atomic context',
        verdict: 'true; the same mistake was made later (H4)',
        also: ['h4-move-sleeps-in-rcu'],
      },
      {
        id: 'S2.3',
        claim: 'after waiting for the page lock the source may hold another page',
        verdict: 'true of the proposal',
      },
      {
        id: 'S2.4',
        claim: 'the page may be freed before it is unlocked',
        verdict: 'true of the proposal',
      },
      {
        id: 'S2.5',
        claim: 'counting sharers does not make a page exclusive',
        verdict: 'true of the proposal, of pages shared and pinned',
      },
      {
        id: 'S2.6',
        claim: 'a page that moves becomes dirty and writable',
        verdict: 'true of the proposal; of write protection still true of 6.18',
        also: ['h7-move-drops-wp'],
      },
      {
        id: 'S2.7',
        claim: 'after waiting for the anon_vma the source may belong to another one',
        verdict: 'true of the proposal',
      },
      {
        id: 'S2.8',
        claim: 'a walker without the page lock reads a place that is half the old one',
        verdict: 'true if the anon_vma lock is left out',
      },
      {
        id: 'S2.9',
        claim: 'a huge page that appears in between gives EFAULT to user space',
        verdict: 'true of the proposal',
      },
      {
        id: 'S2',
        claim: 'pages move between two processes',
        verdict: 'of the proposal; UFFDIO_MOVE keeps to one address space',
        also: ['s2-remap-across-processes'],
      },
    ],
  },
  {
    title: 'uffd-wp for shmem/hugetlb RFC (2021-02-09)',
    claims: [
      {
        id: 'S3.1',
        claim: 'unsharing page tables of hugetlb forgets write protection',
        verdict: 'true; such mappings never share',
      },
      {
        id: 'S3.2',
        claim: 'between the passes of a hole punch a page can be written unseen',
        verdict: 'true without markers; one window is left in 6.18',
      },
      {
        id: 'S3.3',
        claim: 'entries of files may be dropped at any time: protection has to outlive them',
        verdict: 'true; markers do it since 5.19',
      },
      {
        id: 'S3.4',
        claim: 'soft-dirty says too much and never too little',
        verdict: 'true of anonymous memory; it says too little of files whose entries are dropped',
        also: ['soft-dirty-merge'],
      },
      {
        id: 'S3.5',
        claim: 'soft-dirty overlooks hugetlb',
        verdict: 'true of every version',
      },
      {
        id: 'S3.6',
        claim: 'unmapping and truncating drop protection, everything else keeps it',
        verdict: '6.18 keeps markers of shared memory over truncation',
      },
    ],
  },
  {
    title: 'pagemap swap location for shared pages (2021-08-11)',
    claims: [
      {
        id: 'S4.1',
        claim: 'pagemap shows a swapped page of shared memory as none',
        verdict: 'true of every version',
      },
      {
        id: 'S4.2',
        claim: 'write protection belongs to a page table: other mappings write unseen',
        verdict: 'true',
      },
      {
        id: 'S4.3',
        claim: 'without markers everything has to be populated first',
        verdict: 'true before 5.19 (files) and 6.4 (anonymous memory)',
      },
      {
        id: 'S4.4',
        claim: 'protecting in several processes is not atomic',
        verdict: 'true; protecting everywhere before the first page is read is enough',
      },
      {
        id: 'S4.5',
        claim: 'a process can stop a daemon by watching a file that it uses',
        verdict: 'refuted: only mappings of whoever registered wait',
      },
      {
        id: 'S4.6',
        claim: 'protecting under the read lock is safe since 6ce64428d620',
        verdict: 'true',
        also: ['cow-vs-stale-tlb'],
      },
    ],
  },
];

/** Names of the litmus files that show a claim, sorted. */
export function filesOf(claim: Claim, names: readonly string[]): string[] {
  const prefix = `${claim.id.toLowerCase().replace('.', '-')}-`;
  const numbered = claim.id.includes('.');
  const found = names.filter((n) => (numbered && n.startsWith(prefix)) || claim.also?.includes(n));
  return found.sort();
}

/** Names of all litmus files without their ending. */
export function litmusNames(root: string): string[] {
  return readdirSync(join(root, 'litmus'))
    .filter((name) => name.endsWith('.flt'))
    .map((name) => name.replace(/\.flt$/, ''))
    .sort();
}

/** What a file expects to break, and of what. */
function expectations(root: string, name: string): string {
  const text = readFileSync(join(root, 'litmus', `${name}.flt`), 'utf8');
  const lines = text.split('\n').filter((line) => /^(on|with) .*\bbreaks\b/.test(line));
  const shown = lines.map((line) => line.replace(/\s*#.*/, '').replace(/ breaks.*/, ' breaks'));
  const unique = [...new Set(shown)];
  return unique.length === 0 ? 'holds' : unique.join('; ');
}

export function pages(root: string): Page[] {
  const names = litmusNames(root);
  const sections = MAILS.map(({ title, claims }) => {
    const rows = claims.map((claim) => {
      const files = filesOf(claim, names);
      const shown = files.map((name) => `\`${name}\` (${expectations(root, name)})`);
      const missing = files.length === 0 ? `**none yet**: waits for ${claim.waits ?? '?'}` : '';
      return `| ${claim.id} | ${claim.claim} | ${claim.verdict} | ${shown.join('<br>')}${missing} |`;
    });
    return `## ${title}\n\n| | claim | verdict | litmus files |\n| --- | --- | --- | --- |\n${rows.join('\n')}`;
  });
  const all = MAILS.flatMap((mail) => mail.claims);
  const missing = all.filter((claim) => filesOf(claim, names).length === 0).map((c) => c.id);
  const text = `${generatedNotice('scripts/docs/claims.ts and litmus/')}

# Claims of five mails

What the mails say, whether it is so, and the files of \`litmus/\` that show it: \`faultline check litmus/FILE.flt\`. In brackets
stands what the file expects: that it holds everywhere, or under which versions or patches a rule breaks.

${missing.length === 0 ? 'Every claim has a file.' : `Without a file: ${missing.join(', ')}.`}

${sections.join('\n\n')}
`;
  return [{ path: 'docs/claims.md', text }];
}
