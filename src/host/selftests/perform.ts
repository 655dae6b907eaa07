/** Runs a built selftest on the kernel of the machine or under `faultline run`, each in an empty folder. */
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Target } from './build.ts';
import { type Ending, parseOutput, type Result } from './output.ts';
import type { SelftestProgram } from './programs.ts';

/** Harts of the model, as many as the smallest machine that CI has. */
const CPUS = 2;
const LONGEST_OUTPUT = 1 << 24;

export interface Performed {
  readonly results: readonly Result[];
  /** Standard output and error as they came. */
  readonly output: string;
}

export interface PerformOptions {
  /** Of the host's clock. */
  readonly seconds: number;
  /** Pages of 2 MiB that the machine's pool has, so that the model's has as many. */
  /** bin/faultline.js */
  readonly faultline: string;
}

export async function perform(
  program: SelftestProgram,
  path: string,
  target: Target,
  options: PerformOptions,
): Promise<Performed> {
  const folder = mkdtempSync(join(tmpdir(), 'faultline-selftest-'));
  chmodSync(folder, 0o777);
  const { uid = 0, args = [], hugepages = 0 } = program;
  const live = target === 'live';
  const set = ['--cpus', `${CPUS}`, '--uid', `${uid}`, '--hugepages', `${hugepages}`];
  // A test that opens itself finds itself under the same name.
  const guest = ['run', ...set, '--mount', `${path}:${path}:ro`, path, ...args];
  const command = live ? path : process.execPath;
  const line = live ? args : [options.faultline, ...guest];
  try {
    return await ended(command, line, folder, live ? uid : 0, options.seconds);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The program and what it started get their own process group, so that all of it ends when the time is over. */
function ended(
  command: string,
  args: readonly string[],
  cwd: string,
  uid: number,
  seconds: number,
): Promise<Performed> {
  return new Promise((resolve, reject) => {
    const user = uid === 0 ? {} : { uid, gid: uid };
    const child = spawn(command, args, {
      ...user,
      cwd,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    let late = false;
    const take = (data: Buffer): void => {
      if (output.length < LONGEST_OUTPUT) output += data.toString();
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    const timer = setTimeout(() => {
      late = true;
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    }, seconds * 1000);
    child.on('error', reject);
    child.on('close', (status, signal) => {
      clearTimeout(timer);
      const ending: Ending = { ...guestEnding(status, signal), late };
      resolve({ results: parseOutput(output, ending), output });
    });
  });
}

/** `faultline run` ends with 128 plus the signal that killed its program, as a shell does; so may a real one. */
function guestEnding(
  status: number | null,
  signal: NodeJS.Signals | null,
): { status: number | null; signal: string | null } {
  if (status === null || status <= 128) return { status, signal };
  return { status: null, signal: `signal ${status - 128}` };
}
