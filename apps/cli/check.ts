/**
 * `faultline check`: the exploration runs in a worker, so that this thread can say at once how far it came when it is
 * interrupted.
 */
import { writeFileSync, writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { CheckJob, FromWorker } from './check-job.ts';

const STATUS_BAD_INPUT = 2;
const STATUS_BUG = 70;
const STATUS_INTERRUPTED = 130;
/** Default is 16 to 48, depending on the machine. */
const YOUNG_GENERATION_MB = 256;
const CLEAR_LINE = '\r\x1b[K';

interface Options {
  readonly profile?: string;
  readonly patch: readonly string[];
  readonly strategy: string;
  readonly bound?: number;
  readonly max?: number;
  readonly seed: number;
  readonly checks: string;
  readonly replay?: string;
  readonly format: string;
  readonly output?: string;
}

export function registerCheck(program: Command, version: string): void {
  program
    .command('check')
    .description('run litmus tests under every schedule and say which outcomes there are')
    .argument('<file...>', 'a .flt file, a directory of them, or - for standard input')
    .option(
      '--profile <list>',
      'kernel versions, like 6.1,6.18, or all (default: what the file asks for)',
    )
    .option('--patch <name>', 'put a historical bug back; repeatable', collect, [])
    .option('--strategy <name>', 'dpor, dfs or random', 'dpor')
    .option('--bound <n>', 'at most that many preemptions (with dfs)', wholeNumber)
    .option('--max <n>', 'executions to look at (default: 100,000; 10,000 for random)', wholeNumber)
    .option('--seed <n>', 'for random', wholeNumber, 1)
    .addOption(
      new Option('--checks <when>', 'integrity checks').choices(['step', 'end']).default('step'),
    )
    .option('--replay <id>', 'run exactly one execution again, step by step')
    .option('--format <name>', 'text or json', 'text')
    .option('--output <file>', 'write the report there')
    .action((files: string[], options: Options) => runCheck(files, options, version));
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('a whole number is wanted.');
  return Number(text);
}

/** What cannot be asked for, as one line; null when all is well. */
function refusal(options: Options): string | null {
  if (['junit', 'html'].includes(options.format)) return `not yet: --format ${options.format}`;
  if (!['text', 'json'].includes(options.format)) {
    return `unknown format ${options.format}: there is text and json`;
  }
  if (options.strategy === 'pct') return 'not yet: --strategy pct; there is dpor, dfs and random';
  if (!['dpor', 'dfs', 'random'].includes(options.strategy)) {
    return `unknown strategy ${options.strategy}: there is dpor, dfs and random`;
  }
  if (options.bound !== undefined && options.strategy !== 'dfs') {
    return `not yet: --bound with --strategy ${options.strategy}; it goes with dfs`;
  }
  const file = options.patch.find((name) => /[./]/.test(name) && name.endsWith('.ts'));
  return file === undefined ? null : `not yet: a patch of your own from a file (${file})`;
}

function runCheck(files: readonly string[], options: Options, version: string): Promise<void> {
  const refused = refusal(options);
  if (refused !== null) {
    process.stderr.write(`faultline: ${refused}\n`);
    process.exitCode = STATUS_BAD_INPUT;
    return Promise.resolve();
  }
  const job: CheckJob = {
    version,
    files,
    profile: options.profile ?? null,
    patches: options.patch,
    strategy: options.strategy as CheckJob['strategy'],
    bound: options.bound ?? null,
    max: options.max ?? (options.strategy === 'random' ? 10_000 : 100_000),
    seed: options.seed,
    checks: options.checks as CheckJob['checks'],
    replay: options.replay ?? null,
    format: options.format as CheckJob['format'],
  };
  return supervise(job, options.output ?? null);
}

function supervise(job: CheckJob, output: string | null): Promise<void> {
  const terminal = process.stderr.isTTY === true;
  let where = 'nothing has been explored yet';
  let report = '';
  let shown = false;
  const clear = (): void => {
    if (shown) process.stderr.write(CLEAR_LINE);
    shown = false;
  };
  process.once('SIGINT', () => {
    writeSync(2, `${shown ? CLEAR_LINE : ''}faultline: interrupted: ${where}\n`);
    process.exit(STATUS_INTERRUPTED);
  });
  process.stdout.on('error', () => process.exit(0));
  return new Promise((resolve) => {
    const worker = new Worker(new URL('./check-worker.js', import.meta.url), {
      workerData: job,
      // Every execution leaves a whole World behind: with room for thousands of them, few are ever copied.
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
    worker.on('message', (message: FromWorker) => {
      switch (message.kind) {
        case 'progress':
          where = message.text;
          if (terminal) {
            process.stderr.write(`${CLEAR_LINE}${message.text}`);
            shown = true;
          } else if (message.begins) {
            process.stderr.write(`${message.text}\n`);
          }
          break;
        case 'out':
          clear();
          if (output === null) process.stdout.write(message.text);
          else report += message.text;
          break;
        case 'err':
          clear();
          process.stderr.write(message.text);
          break;
        case 'end':
          clear();
          process.exitCode =
            output === null ? message.status : save(output, report, message.status);
          break;
      }
    });
    worker.on('error', (error) => {
      clear();
      process.stderr.write(`faultline: BUG: ${error.stack ?? String(error)}\n`);
      process.exitCode = STATUS_BUG;
    });
    worker.on('exit', () => {
      process.removeAllListeners('SIGINT');
      resolve();
    });
  });
}

/** Writes the report. @returns the exit status */
function save(output: string, report: string, status: number): number {
  try {
    writeFileSync(output, report);
    return status;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    process.stderr.write(`faultline: cannot write ${output}: ${why}\n`);
    return STATUS_BAD_INPUT;
  }
}
