/** docs/locking.md: the kernel's locks in their order, from the table that lockdep checks. */
import { LOCK_CLASSES } from '../../src/kernel/lock-classes.ts';
import { generatedNotice, type Page } from './page.ts';

export function pages(): Page[] {
  const rows = [...LOCK_CLASSES]
    .sort((a, b) => a.rank - b.rank)
    .map(
      (c) =>
        `| ${c.rank} | ${c.name} | ${c.spins ? 'spins' : 'sleeps'} | ${c.nests ? 'yes' : 'no'} |`,
    );
  const text = `${generatedNotice('src/kernel/lock-classes.ts')}

# Locks

From the outside in: a thread may take a lock only while every lock it holds has a smaller rank, or the same class
when that nests (page-table locks in address order, the two mmap_locks of a fork). A trylock may be taken in any order,
because it cannot wait. Nobody sleeps while holding a lock that spins or inside an RCU read section. lockdep
(src/sched/lockdep.ts) checks all of this at every acquisition, in every run.

| rank | lock | waits by | nests |
| ---: | --- | --- | --- |
${rows.join('\n')}

What each lock protects stands at the fields themselves: \`src/kernel/mm/mm-types.ts\` for \`Mm\` and \`Vma\`,
\`src/kernel/fs/userfaultfd-ctx.ts\` for a userfaultfd context.

A page-table lock that is taken and released within one step does not order that step against other such steps: what
was read and written under it is recorded by itself (\`PASS\` in src/sched/cell.ts). Sections on different entries of one
table therefore commute, which is what keeps the number of executions small.
`;
  return [{ path: 'docs/locking.md', text }];
}
