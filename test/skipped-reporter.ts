/** Names every skipped test at the end of a run: vitest only counts them, and a title says what its test needs. */
import type { Reporter, TestModule } from 'vitest/node';

export default class SkippedReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    for (const module of modules) {
      for (const skipped of module.children.allTests('skipped')) {
        const result = skipped.result();
        const why = result.state === 'skipped' && result.note ? `: ${result.note}` : '';
        process.stdout.write(`skipped: ${skipped.fullName}${why} (${module.relativeModuleId})\n`);
      }
    }
  }
}
