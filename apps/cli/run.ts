/** `faultline run`: a riscv64 Linux program on this terminal. */
import { readFileSync, statSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { DEFAULT_PROFILE, type Profile } from '../../src/kernel/profiles.ts';
import type { Patch } from '../../src/kernel/seam.ts';
import { type Overrides, stackPatches } from '../../src/kernel/seam.ts';
import { syscallByNr } from '../../src/kernel/syscall/dispatch.ts';
import { chromeTrace } from '../../src/run/chrome-trace.ts';
import type { Mount } from '../../src/run/mount.ts';
import { after, dumpLines, reportLines, waitingLine } from '../../src/run/report.ts';
import {
  type Run,
  type RunObserver,
  type RunRequest,
  type RunResult,
  startRun,
} from '../../src/run/run.ts';
import { stats } from '../../src/run/stats.ts';
import { strace } from '../../src/run/strace.ts';
import { type MountOption, mountOption, readMount, writeBack } from './mount.ts';
import {
  configOption,
  cpusOption,
  engineOption,
  envOption,
  hugepagesOption,
  instructionsOption,
  profileOption,
  ramOption,
  seedOption,
  swapOption,
  timeoutOption,
  uidOption,
} from './run-options.ts';
import { Terminal } from './terminal.ts';
import { openTrace } from './trace-file.ts';

const STATUS_BAD_INPUT = 2;
const STATUS_BUG = 70;
const STATUS_INTERRUPTED = 130;
/** How long the guest runs between two looks at signals and input, in ms of the host. */
const TURN_MS = 40;

interface Options {
  readonly profile: Profile;
  readonly config: readonly Patch[];
  readonly seed: number;
  readonly cpus: number;
  readonly ram: number;
  /** Bytes. */
  readonly swap: number;
  readonly hugepages: number;
  readonly env: readonly string[];
  readonly uid: number;
  readonly timeout: number;
  readonly maxInstructions: number;
  readonly trace?: string;
  readonly strace?: boolean;
  readonly stats?: boolean;
  readonly engine: 'translator' | 'interpreter';
  readonly cwd?: string;
  readonly mount: readonly MountOption[];
}

/** Adds the `run` command. */
export function registerRun(program: Command): void {
  program.enablePositionalOptions();
  const command = program.command('run');
  command
    .description('run a static riscv64 Linux program, as root in an otherwise empty machine')
    .argument('<PROGRAM>', 'a static riscv64 Linux ELF')
    .argument('[ARG...]', 'its arguments')
    .passThroughOptions()
    .option('--profile <VERSION>', 'kernel version to behave as', profileOption, DEFAULT_PROFILE)
    .option(
      '--seed <N>',
      'same seed, same run; 0 does not preempt inside the kernel',
      seedOption,
      0,
    )
    .option('--cpus <N>', 'harts', cpusOption, 1)
    .option('--ram <SIZE>', 'RAM: 512M, 1G; at most 3G', ramOption, 2 ** 30)
    .option('--swap <SIZE>', 'a swap device: 256M, 1G; at most 3G', swapOption, 0)
    .option('--hugepages <N>', 'pages of 2 MiB in the pool, of the RAM', hugepagesOption, 0)
    .option('--config <NAME>', 'the kernel is built with soft-dirty; repeatable', configOption, [])
    .option('--env <NAME=VALUE>', "a variable of the program's environment", envOption, [])
    .option('--cwd <DIR>', 'where the program begins, in the guest')
    .option('--uid <N>', 'user id', uidOption, 0)
    .option(
      '--timeout <SECONDS>',
      'end after so many virtual seconds (status 124)',
      timeoutOption,
      Number.MAX_SAFE_INTEGER,
    )
    .option(
      '--max-instructions <N>',
      'end after so many instructions (status 124)',
      instructionsOption,
      Number.MAX_SAFE_INTEGER,
    )
    .option('--trace <FILE>', 'every fault, system call, uffd message and wait, for Perfetto')
    .option('--strace', 'system calls on standard error, failing ones with the reason')
    .option(
      '--mount <HOST:GUEST[:ro]>',
      'a copy of a file or directory of the host; changes go back at the end, but not of :ro',
      mountOption,
      [],
    )
    .option('--stats', 'instructions, faults, system calls, time and peak memory at the end')
    .option(
      '--engine <NAME>',
      'translator, or interpreter to compare with',
      engineOption,
      'translator',
    )
    .configureOutput({ outputError: (text) => say(text.replace(/^error: /, '').trimEnd()) })
    .showHelpAfterError(false)
    .action(async (path: string, args: readonly string[], options: Options) => {
      const status = await runProgram(path, args, options);
      process.exit(status);
    });
  hideDefaults(command);
}

/** Defaults that mean nothing to a reader of --help. */
function hideDefaults(command: Command): void {
  const shown: Readonly<Record<string, string>> = {
    profile: DEFAULT_PROFILE.title,
    ram: '1G',
    swap: 'none',
    hugepages: 'none',
    timeout: 'no limit',
    maxInstructions: 'no limit',
    env: 'none',
    config: 'none',
  };
  for (const option of command.options) {
    const text = shown[option.attributeName()];
    if (text !== undefined) option.defaultValueDescription = text;
  }
}

function say(text: string): void {
  try {
    writeSync(2, `faultline: ${text}\n`);
  } catch {
    // Nobody reads standard error any more.
  }
}

function refuse(text: string): number {
  say(text);
  return STATUS_BAD_INPUT;
}

async function runProgram(
  path: string,
  args: readonly string[],
  options: Options,
): Promise<number> {
  const program = readProgram(path);
  if (typeof program === 'string') return refuse(program);
  const overrides = stackPatches([...options.profile.patches, ...options.config]);
  if (typeof overrides === 'string') return refuse(overrides);
  const mounts = options.mount.map(readMount);
  const failed = mounts.find((mount) => typeof mount === 'string');
  if (failed !== undefined) return refuse(failed);
  const trees = mounts.filter((mount) => typeof mount !== 'string');
  const listeners = openListeners(options);
  if (typeof listeners === 'string') return refuse(listeners);
  const session = new Session(path, args, options, { program, trees }, overrides, listeners);
  return await session.go();
}

/** The bytes of a program, or one line that says why there are none. */
function readProgram(path: string): Uint8Array | string {
  try {
    if (statSync(path).isDirectory())
      return `${path}: is a directory; give a riscv64 Linux program`;
    return readFileSync(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return `${path}: no such file`;
    if (code === 'EACCES') return `${path}: may not be read`;
    return `${path}: ${(error as Error).message}`;
  }
}

interface Listeners {
  readonly observers: readonly RunObserver[];
  /** After the last event. */
  finish(run: Run): void;
}

function openListeners(options: Options): Listeners | string {
  const observers: RunObserver[] = [unknownCalls()];
  const finishers: ((run: Run) => void)[] = [];
  if (options.strace === true) {
    const calls = strace((text) => writeSync(2, `${text}\n`));
    observers.push(calls);
    finishers.push(() => calls.unfinished());
  }
  if (options.trace !== undefined) {
    const out = openTrace(options.trace);
    if (typeof out === 'string') return out;
    const trace = chromeTrace((text) => out.write(text));
    observers.push(trace);
    finishers.push(() => {
      trace.end();
      out.close();
    });
  }
  if (options.stats === true) {
    const counts = stats();
    const start = performance.now();
    observers.push(counts);
    finishers.push((run) => {
      for (const line of counts.lines(run.progress(), performance.now() - start)) say(line);
    });
  }
  return {
    observers,
    finish: (run) => {
      for (const finisher of finishers) finisher(run);
    },
  };
}

/** Names each call that is not modelled, once. */
function unknownCalls(): RunObserver {
  const named = new Set<number>();
  return {
    syscall(_now, _task, nr) {
      if (named.has(nr) || syscallByNr(nr) !== null) return;
      named.add(nr);
      say(`system call ${nr} is not modelled: it returns ENOSYS`);
    },
  };
}

/** What of the host the guest gets to see. */
interface Files {
  readonly program: Uint8Array;
  readonly trees: readonly Mount[];
}

/** One run on this terminal, Ctrl-C included. */
class Session {
  readonly #path: string;
  readonly #name: string;
  readonly #options: Options;
  readonly #listeners: Listeners;
  readonly #request: RunRequest;
  readonly #terminal = new Terminal();
  #turnEnds = 0;
  #interrupted = false;
  #onInterrupt: () => void = () => undefined;

  constructor(
    path: string,
    args: readonly string[],
    options: Options,
    { program, trees }: Files,
    overrides: Overrides | null,
    listeners: Listeners,
  ) {
    this.#path = path;
    this.#name = basename(path);
    this.#options = options;
    this.#listeners = listeners;
    const { seed, cpus, ram, swap, hugepages, env, uid, engine, maxInstructions } = options;
    this.#request = {
      program,
      name: this.#name,
      args: [path, ...args],
      env,
      console: this.#terminal,
      seed,
      cpus,
      ram,
      swap,
      hugepages,
      uid,
      mounts: trees,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      engine,
      overrides,
      release: `${options.profile.version}.0`,
      timeoutNs: options.timeout,
      maxInstructions,
      observers: listeners.observers,
      pausing: () =>
        this.#interrupted || this.#terminal.isWaiting || performance.now() >= this.#turnEnds,
    };
  }

  async go(): Promise<number> {
    let run: Run | null = null;
    process.on('SIGINT', this.#interrupt);
    try {
      const started = this.#start();
      if (typeof started === 'string') return refuse(started);
      run = started;
      const result = await this.#drive(run);
      if (result !== null) this.#writeBack(run);
      this.#listeners.finish(run);
      return result === null ? this.#stopped(run) : this.#ended(run, result);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      // The host refused something: a full disk under --trace, a closed standard error.
      if (typeof code === 'string') return refuse(message);
      return this.#bug(run, error);
    } finally {
      process.off('SIGINT', this.#interrupt);
    }
  }

  /** What the guest has changed in a mount. */
  #writeBack(run: Run): void {
    for (const [i, { host, guest, readOnly }] of this.#options.mount.entries()) {
      const before = this.#request.mounts?.[i]?.entries ?? [];
      if (!readOnly) writeBack(host, before, run.filesAt(guest));
    }
  }

  readonly #interrupt = (): void => {
    this.#interrupted = true;
    this.#onInterrupt();
  };

  #start(): Run | string {
    try {
      const started = startRun(this.#request);
      return typeof started === 'string' ? `${this.#path}: ${started}` : started;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return `the host has no room for ${this.#options.ram / 2 ** 20} MiB of RAM; give less with --ram`;
    }
  }

  /** @returns null when interrupted */
  async #drive(run: Run): Promise<RunResult | null> {
    const interrupt = new Promise<void>((resolve) => {
      this.#onInterrupt = resolve;
    });
    for (;;) {
      this.#turnEnds = performance.now() + TURN_MS;
      const result = run.advance();
      if (result !== null) return result;
      if (this.#terminal.isWaiting) await Promise.race([this.#terminal.input(), interrupt]);
      else await new Promise((resolve) => setImmediate(resolve));
      if (this.#interrupted) return null;
    }
  }

  #ended(run: Run, result: RunResult): number {
    for (const line of reportLines(this.#name, result, run.progress())) say(line);
    return result.status;
  }

  #stopped(run: Run): number {
    say(`${this.#name} interrupted ${after(run.progress())}`);
    for (const waiting of run.waiting()) say(waitingLine(waiting));
    return STATUS_INTERRUPTED;
  }

  #bug(run: Run | null, error: unknown): number {
    const { seed, cpus, engine, profile } = this.#options;
    say(`a bug of Faultline's own: ${error instanceof Error ? error.message : String(error)}`);
    say(`  with --profile ${profile.name} --seed ${seed} --cpus ${cpus} --engine ${engine}`);
    if (run !== null) {
      for (const line of dumpLines(run)) say(line);
      this.#listeners.finish(run);
    }
    if (error instanceof Error) for (const line of stackOf(error)) say(`  ${line}`);
    return STATUS_BUG;
  }
}

function stackOf(error: Error): string[] {
  return (error.stack ?? '')
    .split('\n')
    .slice(1, 12)
    .map((line) => line.trim());
}
