/** A program as a litmus file, where that language can say it: one process, no helper, whole pages, known flags. */
import { ADVICE } from '../../kernel/mm/madvise.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import { errnoName } from '../../uapi/errno.ts';
import { UFFD_FEATURE_NAMES } from '../../uapi/userfaultfd.ts';
import type { Divergence } from './compare.ts';
import { ARENA_PAGES, type Operation, type Program, SOURCE_OFFSET } from './operations.ts';

const PRIVATE_FIXED = 0x32;
const PROT: ReadonlyMap<number, string> = new Map([
  [0, 'none'],
  [1, 'r'],
  [3, 'rw'],
]);
const MODES: ReadonlyMap<number, string> = new Map([
  [1, 'missing'],
  [2, 'wp'],
  [3, 'missing wp'],
]);

/** The file, which asks for what the kernel answered where that is a number; or null. */
export function litmusFile(program: Program, { operation, live }: Divergence): string | null {
  const lines: string[] = [];
  for (const [i, op] of program.entries()) {
    const text = statement(op, i, program[i + 1]);
    if (text === null) return null;
    if (text !== '') lines.push(text);
  }
  const answered = /^= (-?)(\d+)\b/.exec(live);
  const value = Number(answered?.[2]);
  const answer = answered === null ? null : answered[1] === '-' ? errnoName(value) : String(value);
  const uffds = lines.filter((line) => line.startsWith('uffd'));
  const calls = lines.filter((line) => !line.startsWith('uffd'));
  const asks = answer === null ? '' : `exists "as the kernel": r${operation} == ${answer}\n`;
  return [
    'litmus differs',
    '"Found by a differential run."',
    '',
    `map A ${ARENA_PAGES} pages anon none private`,
    ...uffds,
    '',
    'thread program {',
    '  munmap A',
    ...calls.map((line) => `  ${line}`),
    '}',
    '',
    asks,
  ].join('\n');
}

/** One statement; '' for what the line before it says already; null when there are no words for it. */
function statement({ op, args }: Operation, i: number, next: Operation | undefined): string | null {
  const [a = 0, b = 0, c = 0, d = 0, e = 0] = args;
  switch (op) {
    case 'mmap':
      return d === PRIVATE_FIXED ? put(i, 'map', range(a, b), PROT.get(c)) : null;
    case 'munmap':
      return put(i, 'munmap', range(a, b));
    case 'mprotect':
      return put(i, 'mprotect', range(a, b), PROT.get(c));
    case 'madvise':
      return put(i, 'madvise', range(a, b), ADVICE.find((x) => x.nr === c)?.name.slice(5));
    case 'load':
      return put(i, 'load', page(a));
    case 'store': {
      const where = page(a);
      return where === null ? null : `store ${where} ${b}`;
    }
    case 'uffd':
      return a === 0 && next?.op === 'api' ? `uffd U${featureWords(next.args[1] ?? 0)}` : null;
    case 'api':
      return '';
    case 'register':
      return put(i, 'register U', range(b, c), MODES.get(d));
    case 'unregister':
    case 'wake':
      return put(i, `${op} U`, range(b, c));
    case 'zeropage':
      return d === 0 ? put(i, 'zeropage U', range(b, c)) : null;
    case 'copy':
      return c >= SOURCE_OFFSET && e === 0 ? put(i, 'copy U', range(b, d), 'from 42') : null;
    case 'writeprotect':
      return d > 1 ? null : put(i, d === 1 ? 'writeprotect U' : 'unprotect U', range(b, c));
    default:
      return null;
  }
}

function put(
  i: number,
  verb: string,
  ...words: readonly (string | null | undefined)[]
): string | null {
  return words.some((word) => !word) ? null : [`r${i} =`, verb, ...words].join(' ');
}

function range(offset: number, size: number): string | null {
  if (offset % PAGE_SIZE !== 0 || size % PAGE_SIZE !== 0 || size <= 0) return null;
  const [first, last] = [offset / PAGE_SIZE, (offset + size) / PAGE_SIZE - 1];
  if (last >= ARENA_PAGES) return null;
  return first === last ? `A[${first}]` : `A[${first}..${last}]`;
}

function page(offset: number): string | null {
  return offset % PAGE_SIZE === 0 ? `A[${offset / PAGE_SIZE}]` : null;
}

function featureWords(features: number): string {
  const names = Object.entries(UFFD_FEATURE_NAMES).filter(([, bit]) => (features & bit) !== 0);
  return names.length === 0 ? '' : ` features ${names.map(([name]) => name).join(' ')}`;
}
