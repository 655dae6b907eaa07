/** A Kit whose process also has memfds: made, mapped at pages of the drawing, read and written. */
import { SCRATCH_BASE } from '../../src/kernel/core/task.ts';
import { syscallByName } from '../../src/kernel/syscall/dispatch.ts';
import { MAP_FIXED } from '../../src/uapi/mman.ts';
import { A, answer, Kit, P } from './kit.ts';

/** Where names and data of calls lie. */
export const NAME_AT: number = SCRATCH_BASE + 1024;

export class MemfdKit extends Kit {
  /** A system call by its name. */
  call(name: string, ...args: number[]): number | string {
    const row = syscallByName(name);
    if (row === null) throw new Error(name);
    return answer(this.alone(row.handler(this.task, args)));
  }

  put(bytes: readonly number[]): void {
    this.task.scratch?.set(bytes, NAME_AT - SCRATCH_BASE);
  }

  memfd(pages: number, flags = 0): number {
    this.put([120, 0]);
    const fd = Number(this.call('memfd_create', NAME_AT, flags));
    if (pages > 0) this.call('ftruncate', fd, pages * P);
    return fd;
  }

  /** @returns the page it is mapped at, or an errno's name */
  mapFile(
    fd: number,
    page: number,
    pages: number,
    flags: number,
    prot = 3,
    from = 0,
  ): number | string {
    const how = flags | MAP_FIXED;
    const result = this.call('mmap', A + page * P, pages * P, prot, how, fd, from * P);
    return typeof result === 'number' ? (result - A) / P : result;
  }

  write(fd: number, bytes: readonly number[], offset: number): number | string {
    this.put(bytes);
    return this.call('pwrite64', fd, NAME_AT, bytes.length, offset);
  }

  read(fd: number, count: number, offset: number): number[] | string {
    const got = this.call('pread64', fd, NAME_AT, count, offset);
    if (typeof got === 'string') return got;
    const at = NAME_AT - SCRATCH_BASE;
    return [...(this.task.scratch ?? [])].slice(at, at + got);
  }

  slots(page: number, pages: number): string[] {
    return Array.from({ length: pages }, (_, i) => this.slot(page + i));
  }
}
