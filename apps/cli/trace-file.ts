/** The file of `--trace`: text goes to it in large pieces. */
import { closeSync, openSync, writeSync } from 'node:fs';

/** Characters of a trace that are kept before they are written. */
const TRACE_BUFFER = 1 << 16;

/** @returns the open file, or one line that says why there is none */
export function openTrace(path: string): { write(text: string): void; close(): void } | string {
  let fd: number;
  try {
    fd = openSync(path, 'w');
  } catch (error) {
    return `--trace ${path}: cannot be written (${(error as NodeJS.ErrnoException).code})`;
  }
  let buffer = '';
  const flush = (): void => {
    const bytes = Buffer.from(buffer);
    buffer = '';
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
  };
  return {
    write(text) {
      buffer += text;
      if (buffer.length >= TRACE_BUFFER) flush();
    },
    close() {
      flush();
      closeSync(fd);
    },
  };
}
