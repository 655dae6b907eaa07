/**
 * Errors as data: each check of a call that can fail has a row that says in which order it stands and why it fails.
 * `faultline explain` lists them, --strace prints the sentence of the one that was hit.
 */

import { must } from '../base/assert.ts';
import type { ErrnoName } from '../uapi/errno.ts';
import { errnoValue } from '../uapi/errno.ts';
import { world } from './current.ts';

export interface ErrnoRow {
  readonly call: string;
  readonly errno: number;
  /** Position among the checks of the call, from 1. */
  readonly order: number;
  readonly why: string;
}

export type ErrnoTable<Key extends string> = Readonly<Record<Key, ErrnoRow>>;

/** The checks of one call, in the order in which the kernel makes them. */
export function errnoTable<Key extends string>(
  call: string,
  checks: Readonly<Record<Key, readonly [ErrnoName, string]>>,
): ErrnoTable<Key> {
  const entries = Object.entries<readonly [ErrnoName, string]>(checks);
  const rows = entries.map(([key, [name, why]], i): readonly [string, ErrnoRow] => [
    key,
    { call, errno: must(errnoValue(name), name), order: i + 1, why },
  ]);
  return Object.fromEntries(rows) as ErrnoTable<Key>;
}

/** The negative errno of a row; the running task remembers the row for --strace. */
export function fail(row: ErrnoRow): number {
  world.current.why = row;
  return -row.errno;
}
