/**
 * Builds selftests from an unpacked kernel source tree, as it is, for riscv64 and for this machine. Everything that is
 * made lies outside the tree. Headers: the C library's kernel headers, and before them tools/include/uapi of the tree,
 * which has what the tests of this folder need (lib.mk names it TOOLS_INCLUDES for that).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SelftestProgram } from './programs.ts';

const FOLDER = 'tools/testing/selftests/mm';
/** Linked into every test by the folder's Makefile. */
const COMMON = ['vm_util', 'thp_settings'];
const FLAGS = ['-O2', '-w', '-static', '-no-pie', '-U_FORTIFY_SOURCE'];
const LIBRARIES = ['-lrt', '-lpthread', '-lm'];

export type Target = 'live' | 'model';

export const COMPILERS: Readonly<Record<Target, string>> = {
  live: 'gcc',
  model: 'riscv64-linux-gnu-gcc',
};

/** Why nothing can be built, or null. */
export function cannotBuild(source: string): string | null {
  if (!existsSync(join(source, FOLDER, 'vm_util.c'))) {
    return `${source} has no ${FOLDER}: give an unpacked linux-source-6.12 (docs/selftests.md)`;
  }
  const missing = Object.values(COMPILERS).find(
    (compiler) => spawnSync(compiler, ['--version']).error !== undefined,
  );
  return missing === undefined ? null : `${missing} is not installed (docs/selftests.md)`;
}

/** @returns the program, or the first line of what the compiler says */
export function buildSelftest(
  source: string,
  into: string,
  program: SelftestProgram,
  target: Target,
): { readonly path: string } | string {
  const folder = join(into, target);
  mkdirSync(folder, { recursive: true });
  // What check_config.sh writes where liburing is absent.
  writeFileSync(join(into, 'local_config.h'), '');
  const file = program.source ?? program.name;
  const path = join(folder, file);
  if (existsSync(path)) return { path };
  const sources = [file, ...(program.with ?? []), ...COMMON].map((name) => `${name}.c`);
  const headers = ['-I', into, '-I', source, '-isystem', join(source, 'tools/include/uapi')];
  const { status, stderr } = spawnSync(
    COMPILERS[target],
    [...FLAGS, ...headers, '-o', path, ...sources, ...LIBRARIES],
    { cwd: join(source, FOLDER), encoding: 'utf8' },
  );
  if (status === 0) return { path };
  const error = stderr.split('\n').find((line) => line.includes('error')) ?? 'does not compile';
  return `${COMPILERS[target]}: ${error}`;
}
