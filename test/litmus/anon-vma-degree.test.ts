/**
 * H37: joined mappings share every anon_vma of their pages. Its seven processes have far too many schedules for a file of
 * litmus/, and the bug needs none in particular: futexes keep the order that matters.
 */
import { expect, test } from 'vitest';
import { DEFAULT_OPTIONS } from '../../src/litmus/check.ts';
import { parseLitmus } from '../../src/litmus/parse.ts';
import { runVariant } from '../../src/litmus/suite.ts';

const FILE = `litmus h37-anon-vma-degree
"Forked mappings that are joined share every anon_vma of their pages: one that another mapping has is not taken over (CVE-2022-42703)."

map A 2 pages anon rw private
map S 1 page anon rw shared            # its words say how far everybody is
store S[0] 0
store A[1] 1

  fork p1 {
    fork p2 {
      fork p3 {
        futex S[0]+0 0 0 0 0 0               # FUTEX_WAIT
        mprotect A[0] r                  # two mappings now
        fork p4 {                        # they take over what p1 and p2 have left: each another one
          fork p5 {
            store S[0]+12 1 ; futex S[0]+12 1 1 0 0 0
            futex S[0]+8 0 0 0 0 0
            store A[1] 2                 # a page of the second mapping's own anon_vma
            fork p6 { mprotect A[1] r }  # both mappings get that of p3, and are joined
          }
        }
        futex S[0]+12 0 0 0 0 0
        munmap A
        store S[0]+8 1 ; futex S[0]+8 1 1 0 0 0
      }
      munmap A
      store S[0]+4 1 ; futex S[0]+4 1 1 0 0 0  # FUTEX_WAKE
    }
    futex S[0]+4 0 0 0 0 0
    munmap A
    store S[0] 1 ; futex S[0]+0 1 1 0 0 0
  }

thread reader { r0 = load A[1] }

always "as it was": r0 == 1
never hang
`;

/** @returns the rules that break within so many schedules */
function broken(max: number, ...patches: string[]): string[] {
  const variant = { profile: '6.18', patches };
  const report = runVariant(parseLitmus(FILE), variant, { ...DEFAULT_OPTIONS, max });
  return report.broken.map(({ rule }) => rule);
}

test('is a page left behind when a child takes over an anon_vma that another mapping has?', () => {
  expect(broken(1, 'anon-vma-degree')).toEqual(['rmap']);
});

test('are all pages reached when only what nobody has is taken over?', () => {
  expect(broken(50)).toEqual([]);
});
