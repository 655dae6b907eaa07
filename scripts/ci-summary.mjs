/**
 * The last line of `.ci/run`: `N passed, N failed`, with `, N skipped` when there are any. Exit status 1 when anything
 * failed. Plain JavaScript, since it must speak when the build is broken.
 *
 * node scripts/ci-summary.mjs VITEST_JSON STATUS_OF_NPM_TEST FAILED_CHECKS
 */
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

/**
 * @param {string | undefined} json what vitest's json reporter wrote, if it came to that
 * @param {number} testStatus exit status of the test command
 * @param {number} failedChecks each counts as one failure
 */
export function summarize(json, testStatus, failedChecks) {
  const files = json === undefined ? [] : JSON.parse(json).testResults;
  let skipped = 0;
  let passed = 0;
  let failed = failedChecks;
  for (const file of files) {
    const tests = file.assertionResults;
    const broken = tests.filter((one) => one.status === 'failed').length;
    // A file that fails as a whole (it does not load, a hook throws) has no failed test of its own.
    failed += broken === 0 && file.status === 'failed' ? 1 : broken;
    passed += tests.filter((one) => one.status === 'passed').length;
    skipped += tests.filter((one) => one.status !== 'passed' && one.status !== 'failed').length;
  }
  const unreported = testStatus !== 0 || files.length === 0; // e.g. an unhandled error, or no test found
  if (unreported && failed === failedChecks) failed += 1;
  const end = skipped > 0 ? `, ${skipped} skipped` : '';
  return { text: `${passed} passed, ${failed} failed${end}`, status: failed > 0 ? 1 : 0 };
}

function readOrNothing(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // vitest never came to write it
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [path = '', testStatus = '1', failedChecks = '0'] = process.argv.slice(2);
  const summary = summarize(readOrNothing(path), Number(testStatus), Number(failedChecks));
  process.stdout.write(`${summary.text}\n`);
  process.exitCode = summary.status;
}
