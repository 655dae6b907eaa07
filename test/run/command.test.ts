// Goal: `faultline run` is what a person expects of a command: streams, exit statuses, one clear line for bad input.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { example, expected, root, SUITE } from './guest.ts';

const BIN = `${root}/bin/faultline.js`;
const temp = mkdtempSync(join(tmpdir(), 'faultline-run-'));
afterAll(() => rmSync(temp, { recursive: true, force: true }));

function faultline(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync('node', [BIN, 'run', ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

function file(name: string, content: Uint8Array | string): string {
  const path = join(temp, name);
  writeFileSync(path, content);
  return path;
}

describe('bad input is one line, status 2', () => {
  const hello = readFileSync(example('hello'));
  const patched = (at: number, value: number): Uint8Array => {
    const bytes = Uint8Array.from(hello);
    bytes[at] = value;
    return bytes;
  };
  const interp = (() => {
    const bytes = Uint8Array.from(hello);
    const view = new DataView(bytes.buffer);
    view.setUint32(Number(view.getBigUint64(32, true)), 3, true);
    return bytes;
  })();
  const program = example('hello');
  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['a missing file', ['no-such-file'], /no-such-file: no such file/],
    ['a directory', [temp], /is a directory/],
    ['a text', [file('text', 'hello\n')], /not an ELF file/],
    ['a truncated header', [file('header', hello.subarray(0, 40))], /truncated/],
    ['a truncated segment', [file('segment', hello.subarray(0, 5000))], /truncated/],
    ['an x86-64 program', [file('foreign', patched(18, 62))], /built for x86-64/],
    ['a dynamic program', [file('dynamic', interp)], /dynamically linked/],
    ['an unknown option', ['--nonsense', program], /unknown option '--nonsense'/],
    ['no program', [], /missing required argument/],
    ['a negative seed', ['--seed', '-1', program], /seed is a whole number/],
    ['no harts', ['--cpus', '0', program], /--cpus.*from 1 to 16/],
    ['too much RAM', ['--ram', '4G', program], /at most 3G/],
    [
      'an unknown profile',
      ['--profile', '2.4', program],
      /unknown profile 2\.4: there are 6\.18, 6\.1/,
    ],
    ['a variable without value', ['--env', 'NAME', program], /NAME=VALUE/],
    ['a trace into nowhere', ['--trace', join(temp, 'no', 'x'), program], /cannot be written/],
    ['a mount without a place', ['--mount', 'a:b', program], /GUEST an absolute path/],
    ['a mount of nothing', ['--mount', 'nowhere:/m', program], /nowhere: cannot be read/],
    ['no such folder', ['--cwd', '/none', program], /no directory \/none in the guest/],
    ['huge pages', ['--hugepages', '400', '--ram', '512M', program], /not enough RAM for 400/],
  ];
  test.for(cases)('%s', ([, args, message]) => {
    const { status, stdout, stderr } = faultline(...args);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(/^faultline: /);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  });
});

test('a program that dies says where, in one line on standard error', () => {
  const { status, stdout, stderr } = faultline(example('segv-demo'));
  expect({ status, stdout }).toEqual({ status: 139, stdout: expected('segv-demo') });
  expect(stderr).toMatch(
    /^faultline: segv-demo died of SIGSEGV at address 0x0 \(no mapping there\): a read by thread 1 at pc 0x[0-9a-f]+ \([0-9a-f]+-[0-9a-f]+ r-xp\)\n$/,
  );
});

test('arguments after the program are its own, unknown options among them', () => {
  const { status } = faultline(SUITE, '--seed');
  expect(status).toBe(2);
});

test('two processes give the same trace, byte for byte, and it is JSON', () => {
  const [one, two] = ['one', 'two'].map((name) => join(temp, name)) as [string, string];
  for (const [path, engine] of [
    [one, 'translator'],
    [two, 'interpreter'],
  ] as const) {
    const args = ['--seed', '9', '--cpus', '2', '--trace', path, '--engine', engine];
    expect(faultline(...args, example('missing-demo')).stdout).toBe(expected('missing-demo'));
  }
  const text = readFileSync(one, 'utf8');
  expect(text).toBe(readFileSync(two, 'utf8'));
  const { traceEvents } = JSON.parse(text) as { traceEvents: { cat?: string; name?: string }[] };
  const messages = traceEvents.filter((e) => e.name === 'uffd pagefault');
  expect(messages.length).toBeGreaterThanOrEqual(64);
  expect(new Set(traceEvents.map((e) => e.cat))).toEqual(
    new Set([undefined, 'fault', 'syscall', 'uffd', 'wait']),
  );
});

test('--strace names each call, and why a call failed', () => {
  const { stderr, status } = faultline('--strace', SUITE, 'pipe');
  expect(status).toBe(0);
  expect(stderr).toContain(
    '[1] write(1, 0x8, 1) = -1 EFAULT (a pointer of the caller is not mapped',
  );
  expect(faultline('--strace', example('missing-demo')).stderr).toMatch(
    /ioctl\(4, UFFDIO_COPY, 0x[0-9a-f]+\) = 0\n/,
  );
  expect(stderr).toMatch(/\[1\] exit_group\(0\) = \?\n$/);
});

test('--stats counts, a limit ends with 124 and says so', () => {
  const counted = faultline('--stats', example('hello'));
  expect(counted.stderr).toMatch(/^faultline: instructions {2}\d+ /m);
  expect(counted.stderr).toMatch(/^faultline: system calls {2}\d+: .*brk \d/m);
  const limited = faultline('--max-instructions', '1000', example('hello'));
  expect(limited.status).toBe(124);
  expect(limited.stderr).toMatch(/^faultline: hello was ended after 1000 instructions/);
  const late = faultline('--timeout', '0.000001', example('hello'));
  expect(late.status).toBe(124);
});

test('a program that RAM has no room for is killed, with a hint', () => {
  const { status, stderr } = faultline('--ram', '1M', 'test/guest/bin/suite', 'touch');
  expect(status).toBe(137);
  expect(stderr).toMatch(
    /^faultline: Out of memory: Killed process 1 \(suite\) total-vm:\d+kB, anon-rss:\d+kB,.*\nfaultline: memory ran out: .*--ram.*\n/,
  );
});

test('a trace that the host has no room for is no bug of ours', () => {
  const { status, stderr } = faultline('--trace', '/dev/full', example('missing-demo'));
  expect(status).toBe(2);
  expect(stderr).toMatch(/^faultline: ENOSPC.*\n$/);
});

test('a hang ends with 124 and says who waits for what', () => {
  const { status, stderr } = faultline(SUITE, 'hang');
  expect(status).toBe(124);
  expect(stderr).toMatch(/^faultline: suite hangs: nothing can run any more/);
  expect(stderr).toMatch(
    /suite 1, in futex\(0x[0-9a-f]+, FUTEX_CLOCK_REALTIME\|FUTEX_WAIT_BITSET, 2, .*\), waits for FUTEX_WAKE on 0x[0-9a-f]+/,
  );
  expect(stderr).toMatch(
    /suite 2, in a write fault at 0x[0-9a-f]+, waits for a userfaultfd handler/,
  );
  expect(stderr).toMatch(/suite 3, in read\(4, 0x[0-9a-f]+, 1\), waits for a write to the pipe/);
});

test('standard input reaches the program as it is, and its end', () => {
  const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, i) => (i * 7) & 0xff));
  const { stdout, status } = spawnSync('node', [BIN, 'run', SUITE, 'cat'], { input: bytes });
  expect(status).toBe(0);
  expect(stdout.equals(bytes)).toBe(true);
});

test('a reader of our output that goes away ends the run quietly', () => {
  const command = `node ${BIN} run ${SUITE} yes | head -n 1; echo "\${PIPESTATUS[0]}"`;
  const { stdout, stderr } = spawnSync('bash', ['-c', command], { encoding: 'utf8' });
  expect({ stdout, stderr }).toEqual({ stdout: 'y\n141\n', stderr: '' });
});

test.each([
  ['while it computes', 'spin'],
  ['while it waits for input', 'cat'],
])('Ctrl-C ends a program at once %s and says how far it came', async (_when, name) => {
  const child = spawn('node', [BIN, 'run', '--env', 'SAY_READY=1', SUITE, name], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  child.kill('SIGINT');
  const status = await new Promise((resolve) => child.once('close', resolve));
  expect(status).toBe(130);
  expect(stderr).toMatch(/^faultline: suite interrupted after \d+ instructions, \d/);
});

test('an unknown system call returns ENOSYS and is named once', () => {
  const { stdout, stderr, status } = faultline(SUITE, 'unknown');
  expect(status).toBe(0);
  expect(stdout).toBe('Function not implemented twice\nunknown: ok\n');
  expect(stderr).toBe('faultline: system call 1000 is not modelled: it returns ENOSYS\n');
});

test('the environment, the user and the kernel version are what was asked for', () => {
  const { stdout } = faultline(
    ...['--env', 'A=1', '--env', 'B=x y', '--env', 'A=2', '--uid', '1000', '--profile', '6.1'],
    ...[SUITE, 'who'],
  );
  expect(stdout).toBe('B=x y\nA=2\nuid 1000\nLinux 6.1.0 riscv64\nwho: ok\n');
});
