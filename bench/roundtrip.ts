/**
 * How long a userfaultfd round trip takes (fault, message, read, COPY, wake): a thread touches missing pages, another serves
 * them. The same program (test/guest/load.c, `roundtrip`) under `faultline run` and, built with gcc, on this machine's
 * kernel, in one run, because only ratios from one run can be compared.
 *
 * `npm run build`, then `node dist/bench/roundtrip.js` in the repository. Prints microseconds of wall time a round trip, medians
 * of 5 rounds, what a program takes to start taken off, and how many times as fast as the kernel Faultline is.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { startGuest } from './start.ts';

const ROUNDS = 5;
const TRIPS = 8192;
const SUITE = 'test/guest/bin/suite';
/** A program of the suite that is over at once. */
const NOTHING = 'who';

function seconds(body: () => void): number {
  const began = performance.now();
  body();
  return (performance.now() - began) / 1000;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function guest(program: Uint8Array, name: string, cpus: number): void {
  if (startGuest(program, [name], { cpus }).advance() === null) throw new Error('it paused');
}

const folder = mkdtempSync(join(tmpdir(), 'faultline-'));
const columns: Record<string, number[]> = {
  kernel: [],
  'faultline, 1 hart': [],
  'faultline, 2 harts': [],
};
try {
  const native = join(folder, 'suite');
  execFileSync('make', ['-s', '-C', resolve('test/guest'), 'native', `OUT=${native}`]);
  const program = readFileSync(SUITE);
  const ways: Readonly<Record<string, (name: string) => void>> = {
    kernel: (name) => execFileSync(native, [name], { stdio: 'ignore' }),
    'faultline, 1 hart': (name) => guest(program, name, 1),
    'faultline, 2 harts': (name) => guest(program, name, 2),
  };
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [title, way] of Object.entries(ways)) {
      const all = seconds(() => way('roundtrip')) - seconds(() => way(NOTHING));
      // The first round compiles.
      if (round > 0) columns[title]?.push((all / TRIPS) * 1e6);
    }
  }
} finally {
  rmSync(folder, { recursive: true });
}
const kernel = median(columns['kernel'] ?? []);
for (const [title, values] of Object.entries(columns)) {
  const us = median(values);
  console.log(
    `${title.padEnd(20)} ${us.toFixed(1).padStart(7)} us a round trip   ${(kernel / us).toFixed(2)}`,
  );
}
