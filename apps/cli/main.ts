/** The command line: what `faultline` does with its first word. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { registerCheck } from './check.ts';
import { registerLists } from './lists.ts';
import { registerRun } from './run.ts';

const STATUS_BAD_INPUT = 2;

/** The version of the package this file belongs to. */
export function packageVersion(): string {
  for (const up of ['../../../package.json', '../../package.json']) {
    try {
      const text = readFileSync(new URL(up, import.meta.url), 'utf8');
      const { name, version } = JSON.parse(text) as { name?: string; version?: string };
      if (name === 'faultline' && version !== undefined) return version;
    } catch {
      // Not there: built code lies one level deeper than its source.
    }
  }
  return 'unknown';
}

const program = new Command('faultline')
  .description('The Linux memory manager, under every schedule and as any kernel version.')
  .version(packageVersion())
  .showHelpAfterError('(--help lists the commands and options)')
  .exitOverride();
registerCheck(program, packageVersion());
registerRun(program);
registerLists(program);
for (const command of program.commands) command.exitOverride();

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  // Help and version are no mistakes; everything else that commander complains about is bad input.
  process.exitCode = error.exitCode === 0 ? 0 : STATUS_BAD_INPUT;
}
