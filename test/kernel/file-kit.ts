/** A MemfdKit whose process also uses names: opened, made, removed, listed. */
import { must } from '../../src/base/assert.ts';
import { SCRATCH_BASE } from '../../src/kernel/core/task.ts';
import { AT_FDCWD } from '../../src/uapi/fcntl.ts';
import { MemfdKit, NAME_AT } from './memfd-kit.ts';

const SECOND_AT = NAME_AT + 512;
const OUT_AT = SCRATCH_BASE + 2048;

export class FileKit extends MemfdKit {
  text(path: string, at = NAME_AT): number {
    const bytes = [...path].map((letter) => letter.charCodeAt(0));
    this.task.scratch?.set([...bytes, 0], at - SCRATCH_BASE);
    return at;
  }
  open(path: string, flags: number, mode = 0o644): number | string {
    return this.call('openat', AT_FDCWD, this.text(path), flags, mode);
  }
  /** A call whose arguments are the working directory, a path and numbers. */
  at(name: string, path: string, ...rest: number[]): number | string {
    return this.call(name, AT_FDCWD, this.text(path), ...rest);
  }
  two(name: string, from: string, to: string, flags = 0): number | string {
    this.text(to, SECOND_AT);
    return this.call(name, AT_FDCWD, this.text(from), AT_FDCWD, SECOND_AT, flags);
  }
  symlink(target: string, path: string): number | string {
    this.text(path, SECOND_AT);
    return this.call('symlinkat', this.text(target), AT_FDCWD, SECOND_AT);
  }

  /** What a call that fills a buffer put there. */
  out(length: number): Uint8Array {
    const at = OUT_AT - SCRATCH_BASE;
    return must(this.task.scratch, 'scratch').slice(at, at + length);
  }
  string(result: number | string): string {
    return typeof result === 'string' ? result : String.fromCharCode(...this.out(result));
  }
  readlink(path: string): string {
    return this.string(this.call('readlinkat', AT_FDCWD, this.text(path), OUT_AT, 200));
  }
  getcwd(): string {
    return this.string(this.call('getcwd', OUT_AT, 200)).replace('\0', '');
  }
  chdir(path: string): number | string {
    return this.call('chdir', this.text(path));
  }
  /** The text of a file, from its beginning. */
  cat(path: string): string {
    const fd = this.open(path, 0);
    if (typeof fd === 'string') return fd;
    let text = '';
    for (;;) {
      const got = this.call('read', fd, OUT_AT, 1024);
      if (got === 0 || typeof got === 'string') break;
      text += this.string(got);
    }
    this.call('close', fd);
    return text;
  }
  /** Names in a directory, without `.` and `..`. */
  list(path: string): string[] | string {
    const fd = this.open(path, 0o200000);
    if (typeof fd === 'string') return fd;
    const found: string[] = [];
    for (;;) {
      const got = this.call('getdents64', fd, OUT_AT, 512);
      if (typeof got === 'string') return got;
      if (got === 0) break;
      const bytes = this.out(got);
      const view = new DataView(bytes.buffer);
      for (let at = 0; at < got; at += view.getUint16(at + 16, true)) {
        let name = '';
        for (let i = at + 19; bytes[i] !== 0; i++) name += String.fromCharCode(bytes[i] ?? 0);
        found.push(name);
      }
    }
    this.call('close', fd);
    return found.filter((name) => name !== '.' && name !== '..').sort();
  }
  /** Mode (octal), links and size of a path. */
  stat(path: string, flags = 0): string {
    const got = this.call('newfstatat', AT_FDCWD, this.text(path), OUT_AT, flags);
    if (typeof got === 'string') return got;
    const view = new DataView(this.out(128).buffer);
    const mode = view.getUint32(16, true).toString(8);
    return `${mode} ${view.getUint32(20, true)} ${view.getBigInt64(48, true)}`;
  }
}
