/** /proc/PID/status: who the process is and how much memory it has. @linux fs/proc/array.c, proc_pid_status(5) */
import { machine } from '../../../machine/current.ts';
import { PAGE_SIZE } from '../../../machine/geometry.ts';
import type { Task } from '../../core/task.ts';
import type { SigInfo } from '../../core/thread-group.ts';
import type { Mm, Vma } from '../../mm/mm-types.ts';
import {
  has,
  VM_EXEC,
  VM_GROWSDOWN,
  VM_SHARED,
  VM_WRITE,
  type VmFlags,
} from '../../mm/vm-flags.ts';

/** SIG_IGN of sigaction(2). */
const SIG_IGN = 1;

/** The text of /proc/PID/status; the rows about memory only while there is an address space. */
export function procStatus(task: Task): string {
  const { group, parent, uid } = task;
  const ids = [uid, uid, uid, uid].join('\t');
  const caps = uid === 0 ? '000001ffffffffff' : hex(0n);
  const cpus = machine.tlbs.length;
  const rows: readonly (readonly [string, string])[] = [
    ['Name', task.name.slice(0, 15)],
    ['Umask', task.fs.umask.toString(8).padStart(4, '0')],
    ['State', group.zombie ? 'Z (zombie)' : 'R (running)'],
    ['Tgid', `${task.tgid}`],
    ['Ngid', '0'],
    ['Pid', `${task.tid}`],
    ['PPid', `${parent?.tgid ?? 0}`],
    ['TracerPid', '0'],
    ['Uid', ids],
    ['Gid', ids],
    ['FDSize', '256'],
    ['Groups', ' '],
    ['NStgid', `${task.tgid}`],
    ['NSpid', `${task.tid}`],
    ['NSpgid', `${task.tgid}`],
    ['NSsid', `${task.tgid}`],
    ['Kthread', '0'],
    ...(task.mm === null ? [] : memoryRows(task.mm)),
    ['CoreDumping', task.dumping ? '1' : '0'],
    ['THP_enabled', task.mmOrDie.thpDisable === 'all' ? '0' : '1'],
    ['untag_mask', '0xffffffffffffffff'],
    ['Threads', `${group.threads.length}`],
    ['SigQ', `${task.pending.length + group.pending.length}/96365`],
    ['SigPnd', hex(bits(task.pending.map((s: SigInfo) => s.signo)))],
    ['ShdPnd', hex(bits(group.pending.map((s) => s.signo)))],
    ['SigBlk', hex(task.blocked)],
    [
      'SigIgn',
      hex(bits([...group.actions].filter(([, a]) => a.handler === SIG_IGN).map(([n]) => n))),
    ],
    [
      'SigCgt',
      hex(bits([...group.actions].filter(([, a]) => a.handler > SIG_IGN).map(([n]) => n))),
    ],
    ['CapInh', hex(0n)],
    ['CapPrm', caps],
    ['CapEff', caps],
    ['CapBnd', '000001ffffffffff'],
    ['CapAmb', hex(0n)],
    ['NoNewPrivs', '0'],
    ['Seccomp', '0'],
    ['Seccomp_filters', '0'],
    ['Cpus_allowed', ((1n << BigInt(cpus)) - 1n).toString(16)],
    ['Cpus_allowed_list', cpus === 1 ? '0' : `0-${cpus - 1}`],
    ['Mems_allowed', '1'],
    ['Mems_allowed_list', '0'],
    ['voluntary_ctxt_switches', '0'],
    ['nonvoluntary_ctxt_switches', '0'],
  ];
  return rows.map(([name, value]) => `${name}:\t${value}\n`).join('');
}

/** @linux fs/proc/task_mmu.c task_mem */
function memoryRows(mm: Mm): readonly (readonly [string, string])[] {
  const { anon, file, shmem, swap } = mm.rss;
  const rss = anon + file + shmem;
  const code = sizeOf(mm, (v) => is(v, VM_EXEC, VM_WRITE | VM_GROWSDOWN));
  return [
    ['VmPeak', pages(Math.max(mm.hiwaterVm, mm.totalVm))],
    ['VmSize', pages(mm.totalVm)],
    ['VmLck', pages(mm.lockedVm)],
    ['VmPin', pages(0)],
    ['VmHWM', pages(Math.max(mm.hiwaterRss, rss))],
    ['VmRSS', pages(rss)],
    ['RssAnon', pages(anon)],
    ['RssFile', pages(file)],
    ['RssShmem', pages(shmem)],
    ['VmData', pages(sizeOf(mm, (v) => is(v, VM_WRITE, VM_SHARED | VM_GROWSDOWN)))],
    ['VmStk', pages(sizeOf(mm, (v) => has(v.flags, VM_GROWSDOWN)))],
    // Where the program's code ends is not kept: all executable memory counts as the program's.
    ['VmExe', pages(code)],
    ['VmLib', pages(0)],
    ['VmPTE', pages(mm.tables)],
    ['VmSwap', pages(swap)],
    ['HugetlbPages', pages(mm.hugetlbUsage)],
  ];
}

function is(vma: Vma, wanted: VmFlags, never: number): boolean {
  return has(vma.flags, wanted) && !has(vma.flags, never as VmFlags);
}
function sizeOf(mm: Mm, counts: (vma: Vma) => boolean): number {
  let bytes = 0;
  for (const vma of mm.vmas) if (counts(vma)) bytes += vma.end - vma.start;
  return bytes / PAGE_SIZE;
}
function pages(count: number): string {
  return `${String((count * PAGE_SIZE) / 1024).padStart(8)} kB`;
}
function hex(mask: bigint): string {
  return mask.toString(16).padStart(16, '0');
}
/** Bit n-1 for signal n. */
function bits(signals: readonly number[]): bigint {
  return signals.reduce((mask, signo) => mask | (1n << BigInt(signo - 1)), 0n);
}
