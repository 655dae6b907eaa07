/** What is wrong with a litmus file: one sentence, where, and what to do about it. */
import type { Pos } from './ast.ts';

/** Bad input (exit status 2): never a bug of ours, never shown with a stack trace. */
export class LitmusError extends Error {
  override readonly name = 'LitmusError';
  readonly pos: Pos;
  /** What to do about it; empty when the sentence says it. */
  readonly hint: string;

  constructor(message: string, pos: Pos, hint = '') {
    super(message);
    this.pos = pos;
    this.hint = hint;
  }

  /** `file.flt:3:7: no region is called B (did you mean A?)`. */
  show(file: string): string {
    const { line, column } = this.pos;
    const where = line === 0 ? file : `${file}:${line}:${column}`;
    return `${where}: ${this.message}${this.hint === '' ? '' : `\n  hint: ${this.hint}`}`;
  }
}

/** Something that a later version brings; begins with the words the doors promise. */
export function notYet(what: string, pos: Pos, hint = ''): LitmusError {
  return new LitmusError(`not yet: ${what}`, pos, hint);
}

/** The candidate that a mistyped word most likely stands for, or null when none is near. */
export function nearest(word: string, candidates: Iterable<string>): string | null {
  let best: string | null = null;
  let least = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const d = distance(word.toLowerCase(), candidate.toLowerCase());
    if (d < least) {
      least = d;
      best = candidate;
    }
  }
  return best;
}

/** `did you mean X?`, else the list of what there is. */
export function didYouMean(word: string, candidates: Iterable<string>, others = ''): string {
  const all = [...candidates];
  const near = nearest(word, all);
  if (near !== null) return `did you mean \`${near}\`?`;
  if (all.length > 0 && all.length <= 24) return `there is: ${all.join(', ')}`;
  return others;
}

/** Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`. */
function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    const above = rows[i - 1] ?? [];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let d = Math.min((above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (above[j - 1] ?? 0) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        d = Math.min(d, (rows[i - 2]?.[j - 2] ?? 0) + 1);
      }
      row.push(d);
    }
    rows.push(row);
  }
  return rows[a.length]?.[b.length] ?? 0;
}
