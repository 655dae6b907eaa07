/** Settings of the machine that a selftest needs: made for as long as it runs, and put back. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { SelftestProgram } from './programs.ts';

const NR_HUGEPAGES = '/proc/sys/vm/nr_hugepages';
const KSM_RUN = '/sys/kernel/mm/ksm/run';

/** What a program needs, by file. */
function needed({ hugepages, settings }: SelftestProgram): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  if (hugepages !== undefined) files.set(NR_HUGEPAGES, `${hugepages}`);
  // The test writes it itself; it is only put back.
  if (settings === KSM) files.set(KSM_RUN, read(KSM_RUN) ?? '0');
  return files;
}

/** Programs that say this change whether KSM runs. */
export const KSM = 'ksm/run';

/** @returns what `body` returns; the settings are as before, however it ended */
export async function withSettings<T>(
  program: SelftestProgram,
  body: () => Promise<T>,
): Promise<T> {
  const files = needed(program);
  const before = [...files.keys()].map((path) => [path, read(path)] as const);
  for (const [path, value] of files) writeFileSync(path, value);
  try {
    return await body();
  } finally {
    for (const [path, value] of before) if (value !== null) writeFileSync(path, value);
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
}
