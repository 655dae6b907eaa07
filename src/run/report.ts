/** What `faultline run` says in its own words when a program does not end by itself. Lines without `faultline: `. */
import { SIGBUS, SIGILL, SIGSEGV, signalName } from '../uapi/signal.ts';
import type { Death, FaultKind } from './death.ts';
import type { Progress, Run, RunResult } from './run.ts';
import { hex } from './strace.ts';
import type { Waiting } from './waiting.ts';

const ACCESS: Readonly<Record<FaultKind, string>> = {
  read: 'a read',
  write: 'a write',
  exec: 'an instruction fetch',
};

/** Nothing for a program that ended by itself, or by a signal that somebody sent, while memory lasted. */
export function reportLines(name: string, result: RunResult, progress: Progress): string[] {
  const { oomKills } = result;
  const hint = oomKills.length === 0 ? [] : ['memory ran out: give more with --ram, or --swap'];
  return [...oomKills, ...hint, ...endLines(name, result, progress)];
}

function endLines(name: string, result: RunResult, progress: Progress): string[] {
  switch (result.how) {
    case 'exit':
      return [];
    case 'signal':
      return result.death === null ? [] : deathLines(name, result.death);
    case 'hang':
      return [
        `${name} hangs: nothing can run any more ${after(progress)}`,
        ...result.waiting.map(waitingLine),
      ];
    case 'limit':
      return [`${name} was ended ${after(progress)}: that is the limit it was given`];
  }
}

function deathLines(name: string, death: Death): string[] {
  const { signo, address, pid } = death.info;
  const signal = signalName(signo);
  const where = `thread ${death.tid} at pc ${hex(death.pc)} (${death.pcMapping})`;
  if (death.access !== null) {
    return [
      `${name} died of ${signal} at address ${hex(address)} (${death.mapping}): ` +
        `${ACCESS[death.access]} by ${where}`,
    ];
  }
  if (pid !== 0) return [];
  if (signo === SIGILL) return [`${name} died of SIGILL: an illegal instruction, ${where}`];
  if (signo === SIGBUS) {
    return [`${name} died of SIGBUS: a misaligned access to ${hex(address)}, ${where}`];
  }
  if (signo === SIGSEGV) {
    return [`${name} died of SIGSEGV: no room for a signal frame on its stack, ${where}`];
  }
  return [];
}

/** `  hello 2, in a write fault at 0x7000, waits for a userfaultfd handler`. */
export function waitingLine(waiting: Waiting): string {
  const { task, doing, awaits } = waiting;
  const within = doing === '' ? '' : `, in ${doing},`;
  return `  ${task.name} ${task.tid}${within} waits for ${awaits}`;
}

export function after(progress: Progress): string {
  const seconds = (progress.virtualNs / 1e9).toFixed(6);
  return `after ${progress.instructions} instructions, ${seconds} virtual seconds`;
}

/** For a bug of our own: what every thread was about to do, and which locks it holds. */
export function dumpLines(run: Run): string[] {
  const { sched, mms, machine } = run.world;
  const lines = [`dump ${after(run.progress())}, step ${sched.steps}`];
  for (const thread of sched.live) {
    const held = thread.held.map((l) => l.name).join(', ');
    const mark = thread === sched.running ? '*' : ' ';
    const waits = thread.op.ready === null || thread.op.ready() ? '' : ', blocked';
    lines.push(
      `${mark} ${thread.name}: ${thread.op.name}${waits}${held === '' ? '' : `, holds ${held}`}`,
    );
  }
  lines.push(`  ${mms.size} address spaces, ${machine.frames.inUse} frames in use`);
  return lines;
}
