/** Runs a guest program inside the test's own process. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { frameCensus } from '../../src/kernel/check/frame-census.ts';
import type { Console } from '../../src/kernel/fs/console.ts';
import { chromeTrace } from '../../src/run/chrome-trace.ts';
import { type RunRequest, type RunResult, startRun } from '../../src/run/run.ts';

export const root: string = fileURLToPath(new URL('../..', import.meta.url));
export const EXAMPLES: readonly string[] = ['hello', 'missing-demo', 'bg-snapshot', 'wp-dirty-log'];

export function example(name: string): string {
  return `${root}/examples/guest/bin/${name}`;
}
export function expected(name: string): string {
  return readFileSync(`${root}/examples/guest/expected/${name}.txt`, 'utf8');
}
export const SUITE: string = `${root}/test/guest/bin/suite`;

export interface Outcome {
  readonly result: RunResult;
  readonly out: string;
  readonly err: string;
  readonly instructions: number;
  readonly trace: string;
  /** What the frame census says once the program is gone; null when nothing leaked. */
  readonly census: string | null;
}

/** A console that remembers what is written and gives `input` to whoever reads. */
export function memoryConsole(input = ''): Console & { readonly text: (stream: 1 | 2) => string } {
  const written: Record<1 | 2, Uint8Array[]> = { 1: [], 2: [] };
  let rest = Buffer.from(input);
  return {
    write(stream, bytes) {
      written[stream].push(bytes.slice());
      return true;
    },
    wantInput() {},
    read(count) {
      const part = rest.subarray(0, count);
      rest = rest.subarray(count);
      return part;
    },
    text: (stream) => Buffer.concat(written[stream]).toString(),
  };
}

export function runGuest(
  path: string,
  args: readonly string[] = [],
  options: Partial<RunRequest> & { readonly input?: string; readonly traced?: boolean } = {},
): Outcome {
  const console = memoryConsole(options.input);
  let trace = '';
  const tracer = chromeTrace((text) => {
    trace += text;
  });
  const run = startRun({
    program: readFileSync(path),
    name: basename(path),
    args: [path, ...args],
    env: [],
    console,
    seed: 0,
    cpus: 1,
    ram: 64 << 20,
    uid: 0,
    engine: 'translator',
    overrides: null,
    release: '6.18.0',
    timeoutNs: 60e9,
    maxInstructions: 1e9,
    observers: options.traced === true ? [tracer] : [],
    pausing: () => false,
    ...options,
  });
  if (typeof run === 'string') throw new Error(run);
  const result = run.advance();
  if (result === null) throw new Error('paused');
  tracer.end();
  return {
    result,
    out: console.text(1),
    err: console.text(2),
    instructions: run.progress().instructions,
    trace,
    census: result.how === 'exit' ? frameCensus(run.world) : null,
  };
}
