/** /proc/PID/stat and statm: figures in a line. @linux fs/proc/array.c do_task_stat, proc_pid_statm(5) */
import { PAGE_SIZE } from '../../../machine/geometry.ts';
import type { Task } from '../../core/task.ts';
import { groupUsage } from '../../core/usage.ts';
import { has, VM_EXEC, VM_SHARED, VM_WRITE } from '../../mm/vm-flags.ts';

/** 52 fields; those that would be about time, scheduling and devices are 0. */
export function procStat(task: Task): string {
  const { mm, group } = task;
  const fields: (string | number)[] = new Array<number>(52).fill(0);
  const put = (field: number, value: string | number): void => {
    fields[field - 1] = value;
  };
  put(1, task.tid);
  put(2, `(${task.name.slice(0, 15)})`);
  put(3, group.zombie ? 'Z' : 'R');
  put(4, task.parent?.tgid ?? 0);
  put(5, task.tgid);
  put(6, task.tgid);
  put(8, -1);
  const used = groupUsage(group);
  put(10, used.minFlt);
  put(11, group.childrenUsage.minFlt);
  put(12, used.majFlt);
  put(13, group.childrenUsage.majFlt);
  put(18, 20);
  put(20, group.threads.length);
  put(25, '18446744073709551615');
  put(38, 17);
  put(39, task.hart);
  if (mm !== null) {
    const { anon, file, shmem } = mm.rss;
    put(23, mm.totalVm * PAGE_SIZE);
    put(24, anon + file + shmem);
    put(28, mm.startStack);
    put(47, mm.startBrk);
    put(48, mm.argStart);
    put(49, mm.argEnd);
    put(50, mm.envStart);
    put(51, mm.envEnd);
  }
  put(52, group.exitStatus ?? 0);
  return `${fields.join(' ')}\n`;
}

/** Pages: mapped, resident, resident and not anonymous, code, 0, data and stack, 0. */
export function procStatm(task: Task): string {
  const { mm } = task;
  if (mm === null) return '0 0 0 0 0 0 0\n';
  const { anon, file, shmem } = mm.rss;
  let [code, data] = [0, 0];
  for (const { start, end, flags } of mm.vmas) {
    const pages = (end - start) / PAGE_SIZE;
    if (has(flags, VM_EXEC)) code += pages;
    else if (has(flags, VM_WRITE) && !has(flags, VM_SHARED)) data += pages;
  }
  return `${mm.totalVm} ${anon + file + shmem} ${file + shmem} ${code} 0 ${data} 0\n`;
}
