/**
 * What a selftest says, as a list of results: TAP as tools/testing/selftests/kselftest.h prints it, and the
 * `Testing ... done` lines of uffd-unit-tests. How the program ended is a result of its own, the last one.
 */

export type Verdict = 'pass' | 'fail' | 'skip' | 'xfail' | 'none';

export interface Result {
  /** What the two runs are matched by. */
  readonly key: string;
  /** As the test says it. */
  readonly text: string;
  readonly verdict: Verdict;
}

/** How a program ended. */
export interface Ending {
  /** Exit status, or null. */
  readonly status: number | null;
  readonly signal: string | null;
  readonly late: boolean;
}

export const END_KEY = 'end';
/** Exit statuses by what they mean. @linux tools/testing/selftests/kselftest.h KSFT_SKIP */
const STATUS_SKIP = 4;

/** thuge-gen prints `# 2MB: ` before it, and by system(3) what should end that line. */
const TAP = /^(?:# \d+MB: )?(not )?ok (\d+)\b ?(.*)$/;
const TESTING = /^Testing (.*)\.\.\. (done|skipped|failed)(.*)$/;

export function parseOutput(output: string, ending: Ending): readonly Result[] {
  const results: Result[] = [];
  for (const line of output.split('\n')) {
    const result = tapResult(line) ?? testingResult(line);
    if (result !== null && !results.some(({ key }) => key === result.key)) results.push(result);
  }
  results.push({ key: END_KEY, text: endText(output, ending), verdict: endVerdict(ending) });
  return results;
}

function tapResult(line: string): Result | null {
  const match = TAP.exec(line);
  if (match === null) return null;
  const [, not, number = '', text = ''] = match;
  return { key: number, text, verdict: not === undefined ? okVerdict(text) : 'fail' };
}

function okVerdict(text: string): Verdict {
  if (/(^|\s)# SKIP\b/i.test(text)) return 'skip';
  return /(^|\s)# XFAIL\b/i.test(text) ? 'xfail' : 'pass';
}

function testingResult(line: string): Result | null {
  const match = TESTING.exec(line);
  if (match === null) return null;
  const [, name = '', word = '', why = ''] = match;
  const verdict = word === 'done' ? 'pass' : word === 'skipped' ? 'skip' : 'fail';
  return { key: name, text: `${name}${why}`, verdict };
}

/** A plan of nothing (`1..0 # SKIP why`) and a bail-out say more than the status. */
function endText(output: string, ending: Ending): string {
  const why = /^(?:Bail out! |1\.\.0 # SKIP )(.*)$/m.exec(output)?.[1] ?? '';
  return [endingText(ending), why].filter((part) => part !== '').join(': ');
}

function endingText({ status, signal, late }: Ending): string {
  if (late) return 'not done in time';
  return signal === null ? `exit status ${status}` : `killed by ${signal}`;
}

function endVerdict({ status, signal, late }: Ending): Verdict {
  if (late || signal !== null) return 'fail';
  return status === 0 ? 'pass' : status === STATUS_SKIP ? 'skip' : 'fail';
}

export interface Compared {
  readonly key: string;
  /** As the real kernel's run says it, where it says it. */
  readonly text: string;
  readonly live: Verdict;
  readonly model: Verdict;
  /** What the model's run says, for those that differ. */
  readonly modelText: string;
}

/** Result by result; one that only one of the two has is `none` in the other. */
export function compareResults(live: readonly Result[], model: readonly Result[]): Compared[] {
  const keys = new Set([...live, ...model].map(({ key }) => key));
  keys.delete(END_KEY);
  return [...keys, END_KEY].map((key) => {
    const a = live.find((result) => result.key === key);
    const b = model.find((result) => result.key === key);
    return {
      key,
      text: a?.text ?? b?.text ?? '',
      live: a?.verdict ?? 'none',
      model: b?.verdict ?? 'none',
      modelText: b?.text ?? '',
    };
  });
}

/** `16 pass, 3 xfail`; the end counts only when there is nothing else. */
export function tally(results: readonly Result[]): string {
  const counted = results.length > 1 ? results.filter(({ key }) => key !== END_KEY) : results;
  const counts = new Map<Verdict, number>();
  for (const { verdict } of counted) counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
  const parts = [...counts].map(([verdict, count]) => `${count} ${verdict}`);
  const end = results.at(-1);
  if (results.length > 1 && end?.verdict === 'fail') parts.push(end.text);
  return parts.join(', ');
}
