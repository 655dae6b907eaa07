/** The kernel that runs: builds executor/ once and has it perform programs. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { release, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Family } from './families.ts';
import { type Program, type Transcript, wordsOf } from './operations.ts';

/** For one program; executor/watch.c gives up before. */
const ALLOWED_MS = 90_000;
/** The last line of a program that got no processor time for too long. */
export const UNFINISHED = 'unfinished';
const THP_ENABLED = '/sys/kernel/mm/transparent_hugepage/enabled';
const OUTPUT_BYTES = 1 << 28;
const FLAGS = ['-O1', '-static', '-no-pie'];

export class LiveKernel {
  readonly #executor: string;
  /** `uname -r`. */
  readonly release: string = release();

  /** Compiles the executor unless it was compiled before. Throws when that fails: see `unavailable`. */
  constructor() {
    const source = sourceFolder();
    const files = readdirSync(source).sort();
    const sum = createHash('sha256');
    for (const file of files) sum.update(readFileSync(join(source, file)));
    const hash = sum.digest('hex').slice(0, 16);
    const folder = join(tmpdir(), `faultline-fidelity-${userInfo().uid}`);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#executor = join(folder, `executor-${hash}`);
    if (existsSync(this.#executor)) return;
    const fresh = mkdtempSync(join(folder, 'build-'));
    const parts = files.filter((file) => file.endsWith('.c')).map((file) => join(source, file));
    execFileSync('gcc', [...FLAGS, '-o', join(fresh, 'executor'), ...parts]);
    renameSync(join(fresh, 'executor'), this.#executor);
    rmSync(fresh, { recursive: true });
  }

  /** Performs each program in a process of its own. */
  perform(programs: readonly Program[]): Transcript[] {
    const input = programs
      .map((program) => ['program', ...program.map(wordsOf), 'end', ''].join('\n'))
      .join('');
    const { stdout, error, status } = spawnSync(this.#executor, [], {
      input,
      maxBuffer: OUTPUT_BYTES,
      timeout: ALLOWED_MS * programs.length,
    });
    if (error !== undefined) throw error;
    if (status !== 0) throw new Error(`the executor ended with status ${status}`);
    const parts = stdout.toString().split('program\n').slice(1);
    return parts.map((part) => part.trimEnd().split('\n'));
  }
}

/** Why programs cannot be performed on the kernel that runs, or null. */
export function unavailable(): string | null {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'this is not Linux on x86-64';
  if (process.getuid?.() !== 0) return 'needs root';
  if (spawnSync('gcc', ['--version']).error !== undefined) return 'gcc is not installed';
  try {
    const [answer] = new LiveKernel().perform([[{ op: 'uffd', args: [0, 0] }]]);
    if (answer?.at(-1) === UNFINISHED) return 'a swap device is on';
    return answer?.[0] === '= 0' ? null : 'userfaultfd(2) is not allowed';
  } catch {
    return 'the executor does not build or run';
  }
}

/** Families that this machine cannot perform, each with the reason. */
export function withoutFamilies(kernel: LiveKernel): ReadonlyMap<Family, string> {
  const missing = new Map<Family, string>();
  const [swap] = kernel.perform([[{ op: 'swapon', args: [] }]]);
  if (swap?.[0] !== '= 0') missing.set('swap', `no zram device can be made (${swap?.[0]})`);
  if (!existsSync(THP_ENABLED) || !readFileSync(THP_ENABLED, 'utf8').includes('[madvise]')) {
    missing.set('thp', 'transparent huge pages are not there for who asks (enabled: madvise)');
  }
  return missing;
}

/** From `src/host/fidelity` and from where it is compiled to. */
function sourceFolder(): string {
  const beside = fileURLToPath(new URL('executor', import.meta.url));
  if (existsSync(beside)) return beside;
  return fileURLToPath(new URL('../../../../src/host/fidelity/executor', import.meta.url));
}
