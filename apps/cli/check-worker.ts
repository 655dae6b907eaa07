/** The work of `faultline check`: parses, explores, judges, prints. Runs in a worker thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { ScheduleMismatch } from '../../src/explore/replay.ts';
import { decodeSchedule, MalformedSchedule } from '../../src/explore/schedule.ts';
import { mutationPatches, PATCHES, patchByName } from '../../src/kernel/patches/table.ts';
import { parseProfiles } from '../../src/kernel/profiles.ts';
import type { LitmusTest } from '../../src/litmus/ast.ts';
import type { BrokenRow, CheckOptions, VariantReport } from '../../src/litmus/check.ts';
import { DEFAULT_OPTIONS } from '../../src/litmus/check.ts';
import { differencesText } from '../../src/litmus/compare.ts';
import { type Diagram, drawExecution } from '../../src/litmus/diagram.ts';
import { didYouMean, LitmusError } from '../../src/litmus/error.ts';
import { parseLitmus } from '../../src/litmus/parse.ts';
import { hashOf, parseReplayId } from '../../src/litmus/replay-id.ts';
import {
  brokenText,
  diagramText,
  duration,
  extentOf,
  MEMORY_MODEL,
  number,
  table,
  variantText,
  verdictText,
} from '../../src/litmus/report.ts';
import { type JsonVariant, jsonReport, jsonVariant } from '../../src/litmus/report-json.ts';
import {
  type Asked,
  compiledFor,
  statusOf,
  Variants,
  variantsToRun,
} from '../../src/litmus/suite.ts';
import { showVariant, type Variant } from '../../src/litmus/versions.ts';
import type { CheckJob, FromWorker } from './check-job.ts';
import { type LitmusFile, readLitmusFiles, UnusableFile } from './litmus-files.ts';

const STATUS_BROKEN = 1;
const STATUS_BAD_INPUT = 2;
const STATUS_BUG = 70;
/** Diagrams of one report at most. */
const MOST_DIAGRAMS = 3;
const PROGRESS_MS = 100;

interface Done {
  readonly file: LitmusFile;
  readonly report: VariantReport;
  readonly seconds: number;
}

const job = workerData as CheckJob;
const errors: { file: string; message: string }[] = [];
/** What runs now, for dumps. */
let now = 'start';

function send(message: FromWorker): void {
  parentPort?.postMessage(message);
}
function out(text: string): void {
  send({ kind: 'out', text });
}

try {
  send({ kind: 'end', status: job.replay === null ? checkAll() : replayOne(job.replay) });
} catch (error) {
  send({ kind: 'end', status: failed(error) });
}

/** Says what stopped us. @returns the exit status */
function failed(error: unknown): number {
  if (error instanceof UnusableFile || error instanceof MalformedSchedule) {
    send({ kind: 'err', text: `faultline: ${error.message}\n` });
    return STATUS_BAD_INPUT;
  }
  if (error instanceof LitmusError) {
    send({ kind: 'err', text: `${error.show(now)}\n` });
    return STATUS_BAD_INPUT;
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const text = `faultline: a bug of Faultline's own while checking ${now}\n${stack}\n`;
  send({ kind: 'err', text: `${text}Please report it with the file and the command line.\n` });
  return STATUS_BUG;
}

function asked(): Asked {
  const profiles = job.profile === null ? null : parseProfiles(job.profile);
  if (typeof profiles === 'string') throw new UnusableFile(profiles);
  for (const name of job.patches) {
    if (patchByName(name) !== null) continue;
    const known = [...PATCHES, ...mutationPatches()].map((p) => p.name);
    throw new UnusableFile(
      `no patch is called ${name}: ${didYouMean(name, known, 'faultline patches lists them')}`,
    );
  }
  return {
    profiles: profiles?.map((p) => p.name) ?? null,
    patches: job.patches.length === 0 ? null : job.patches,
  };
}

function options(label: string): CheckOptions {
  let last = 0;
  return {
    ...DEFAULT_OPTIONS,
    strategy: job.strategy,
    checks: job.checks,
    max: job.max,
    seed: job.seed,
    bound: job.bound,
    progress: (executions) => {
      const t = performance.now();
      if (t - last < PROGRESS_MS) return;
      last = t;
      send({ kind: 'progress', text: `${label}: ${number(executions)} executions`, begins: false });
    },
  };
}

function checkAll(): number {
  const wanted = asked();
  const files = readLitmusFiles(job.files);
  const done: Done[] = [];
  const parsed = parseAll(files, wanted);
  const total = parsed.reduce((sum, p) => sum + p.variants.length, 0);
  let n = 0;
  for (const { file, test, variants } of parsed) {
    const judge = new Variants(variants.length > 1);
    for (const variant of variants) {
      n++;
      now = file.path;
      const label = `[${n}/${total}] ${test.name} under ${showVariant(variant)}`;
      send({ kind: 'progress', text: label, begins: true });
      const before = performance.now();
      const report = check(judge, file, test, variant, options(label));
      if (report === null) break;
      done.push({ file, report, seconds: (performance.now() - before) / 1000 });
    }
  }
  const judged = statusOf(done.map((d) => d.report));
  const status = errors.length > 0 ? STATUS_BAD_INPUT : judged;
  if (job.format === 'json') printJson(done, status);
  else if (files.length === 1) printFile(done);
  else printSuite(done);
  return status;
}

interface Parsed {
  readonly file: LitmusFile;
  readonly test: LitmusTest;
  readonly variants: readonly Variant[];
}

function parseAll(files: readonly LitmusFile[], wanted: Asked): Parsed[] {
  return files.flatMap((file) => {
    try {
      const test = parseLitmus(file.text);
      return [{ file, test, variants: variantsToRun(test, wanted) }];
    } catch (error) {
      complain(file, error);
      return [];
    }
  });
}

function check(
  judge: Variants,
  file: LitmusFile,
  test: LitmusTest,
  variant: Variant,
  opts: CheckOptions,
): VariantReport | null {
  try {
    return judge.judge(test, variant, opts);
  } catch (error) {
    complain(file, error);
    return null;
  }
}

/** Bad input in one file: said at once, the others go on. */
function complain(file: LitmusFile, error: unknown): void {
  if (!(error instanceof LitmusError)) throw error;
  const message = error.show(file.path);
  errors.push({ file: file.path, message });
  send({ kind: 'err', text: `${message}\n` });
}

function draw(report: VariantReport, row: BrokenRow): Diagram {
  const compiled = compiledFor(report.test, report.variant);
  return drawExecution(compiled, row.schedule, DEFAULT_OPTIONS.maxSteps, job.checks);
}

function printFile(done: readonly Done[]): void {
  let diagrams = 0;
  for (const { report, seconds } of done) {
    out(`${variantText(report, seconds)}\n`);
    if (report.sharedWith !== null) continue;
    for (const row of report.broken) {
      if (diagrams++ >= MOST_DIAGRAMS) break;
      out(`${brokenText(report, row, draw(report, row))}\n`);
    }
  }
  const differences = differencesText(unpatched(done));
  if (differences !== '') out(`${differences}\n`);
  if (done.length > 0) out(`${MEMORY_MODEL}\n`);
}

/** The reports of plain profiles: patches put back by hand differ on purpose. */
function unpatched(done: readonly Done[]): VariantReport[] {
  return done.map((d) => d.report).filter((r) => r.variant.patches.length === job.patches.length);
}

function printSuite(done: readonly Done[]): void {
  const rows = done.map(({ report, seconds }) => [
    report.test.name,
    showVariant(report.variant),
    verdictText(report),
    extentOf(report),
    duration(seconds),
  ]);
  out(`${table([['test', 'kernel', 'verdict', 'extent', 'time'], ...rows], '').join('\n')}\n\n`);
  const unexpected = done.flatMap(({ report }) =>
    report.broken.filter((b) => !b.expected).map((row) => ({ report, row })),
  );
  const expected = done.flatMap(({ report }) =>
    report.broken
      .filter((b) => b.expected && putsBugBack(report.variant))
      .map((row) => ({ report, row })),
  );
  const chosen = unexpected.length > 0 ? unexpected.slice(0, MOST_DIAGRAMS) : expected.slice(0, 1);
  for (const { report, row } of chosen) out(`${brokenText(report, row, draw(report, row))}\n`);
  for (const { report } of done) {
    for (const remark of report.remarks) {
      out(`note: ${report.test.name} under ${showVariant(report.variant)}: ${remark}\n`);
    }
  }
  if (job.profile !== null) printDifferences(done);
  const files = new Set(done.map((d) => d.file.path)).size;
  const executions = done.reduce((sum, d) => sum + d.report.explored.executions, 0);
  const seconds = done.reduce((sum, d) => sum + d.seconds, 0);
  const bad = done.filter((d) => d.report.verdict === 'broken').length;
  const verdict =
    bad === 0 && errors.length === 0
      ? 'every expectation holds'
      : `${bad} verdicts are not what their files expect, ${errors.length} files are bad input`;
  out(
    `${files} files, ${done.length} verdicts, ${number(executions)} executions, ${duration(seconds)}: ${verdict}\n`,
  );
  out(`${MEMORY_MODEL}\n`);
}

/** File by file, where the kernels asked for differ. */
function printDifferences(done: readonly Done[]): void {
  for (const path of new Set(done.map((d) => d.file.path))) {
    out(differencesText(unpatched(done.filter((d) => d.file.path === path))));
  }
  out('\n');
}

/** Whether a variant has a patch with a history, not only one that removes a check. */
function putsBugBack(variant: Variant): boolean {
  return variant.patches.some((name) => PATCHES.some((p) => p.name === name));
}

function printJson(done: readonly Done[], status: number): void {
  const variants: JsonVariant[] = done.map(({ file, report, seconds }) =>
    jsonVariant(file.path, report, seconds, (row) => draw(report, row)),
  );
  out(`${JSON.stringify(jsonReport(job.version, status, variants, errors), null, 2)}\n`);
}

function replayOne(text: string): number {
  const id = parseReplayId(text);
  if (typeof id === 'string') throw new UnusableFile(id);
  const files = readLitmusFiles(job.files);
  const [file] = files;
  if (file === undefined || files.length > 1) throw new UnusableFile('--replay wants one file');
  now = file.path;
  const test = parseLitmus(file.text);
  const variants = variantsToRun(test, asked());
  const variant = variants.find((v) => hashOf(test, v) === id.hash);
  if (variant === undefined) {
    const have = variants.map((v) => `${hashOf(test, v)} under ${showVariant(v)}`).join(', ');
    throw new UnusableFile(
      `this replay id is of another file, profile or set of patches: its hash is ${id.hash}, this is ${have}`,
    );
  }
  const schedule = decodeSchedule(id.schedule);
  let diagram: Diagram;
  try {
    diagram = drawExecution(
      compiledFor(test, variant),
      schedule,
      DEFAULT_OPTIONS.maxSteps,
      job.checks,
    );
  } catch (error) {
    if (error instanceof ScheduleMismatch) throw new UnusableFile(error.message);
    throw error;
  }
  if (job.format === 'json') out(`${JSON.stringify(diagram, null, 2)}\n`);
  else out(`${test.name} under ${showVariant(variant)}\n\n${diagramText(diagram)}`);
  return diagram.ending.length > 0 ? STATUS_BROKEN : 0;
}
