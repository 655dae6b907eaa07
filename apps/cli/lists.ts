/** `faultline profiles`, `faultline patches`, `faultline explain`: what the kernel's own tables say. */
import type { Command } from 'commander';
import { errnoRowText, explain, explainedCalls, knownCall } from '../../src/kernel/explain.ts';
import { UFFD_IOCTLS } from '../../src/kernel/fs/userfaultfd-ioctl.ts';
import { mutationPatches, PATCHES } from '../../src/kernel/patches/table.ts';
import { listProfiles } from '../../src/kernel/profile-table.ts';
import type { Patch } from '../../src/kernel/seam.ts';
import { didYouMean } from '../../src/litmus/error.ts';
import { ERRNO_NAMES, errnoValue } from '../../src/uapi/errno.ts';

const STATUS_BAD_INPUT = 2;

export function registerLists(program: Command): void {
  program
    .command('profiles')
    .description('list the kernel versions and what each can do')
    .action(() => {
      process.stdout.write(listProfiles());
    });
  program
    .command('patches')
    .description('list what each patch puts back or proposes, with its reference')
    .action(() => {
      process.stdout.write(patchesText());
    });
  program
    .command('explain')
    .description('which checks of a call give an errno, in order')
    .argument('<errno>', 'for example EINVAL')
    .argument('<syscall>', 'for example UFFDIO_COPY')
    .action((errno: string, call: string) => explainCommand(errno, call));
}

function patchesText(): string {
  const block = (patch: Patch): string =>
    `${patch.name}\n    ${patch.title}\n    ${patch.versions}; ${patch.reference}\n`;
  const mutations = mutationPatches();
  return [
    ...PATCHES.map(block),
    `\nEach removes one re-validation that Linux makes (docs/mutations.md):\n\n`,
    ...mutations.map((p) => `${p.name}\n    ${p.title}\n`),
  ].join('');
}

function explainCommand(errno: string, call: string): void {
  const value = errnoValue(errno.toUpperCase());
  if (value === undefined) {
    const hint = didYouMean(errno.toUpperCase(), ERRNO_NAMES, 'they look like EINVAL');
    refuse(`no error is called ${errno}: ${hint}`);
    return;
  }
  const name = knownCall(call);
  if (name === null) {
    const later = UFFD_IOCTLS.find((row) => row.name === call.toUpperCase());
    const hint = didYouMean(call, explainedCalls(), 'docs/coverage.md lists what there is');
    refuse(later === undefined ? `no call is known as ${call}: ${hint}` : `not yet: ${later.name}`);
    return;
  }
  const rows = explain(value, call);
  const text =
    rows.length === 0
      ? `no check of ${name} gives ${errno.toUpperCase()}\n`
      : rows.map((row) => `${errnoRowText(row)}\n`).join('');
  process.stdout.write(text);
}

function refuse(message: string): void {
  process.stderr.write(`faultline: ${message}\n`);
  process.exitCode = STATUS_BAD_INPUT;
}
