/** Read-only files whose content is made when they are opened: what procfs and sysfs offer. */
import type { Steps } from '../../sched/op.ts';
import { EINVAL } from '../../uapi/errno.ts';
import { O_RDONLY, S_IFREG, SEEK_CUR, SEEK_END } from '../../uapi/fcntl.ts';
import { File, type FileOps, POLLIN } from './file.ts';

function contentOf(file: File): Uint8Array {
  return file.data as Uint8Array;
}

const OPS: FileOps = {
  kind: 'seq_file',
  *read(_task, file, count, offset): Steps<Uint8Array | number> {
    const from = offset ?? file.offset;
    const part = contentOf(file).slice(from, from + count);
    if (offset === null) file.offset += part.length;
    return part;
  },
  poll: () => POLLIN,
  seek(file, offset, whence) {
    const base =
      whence === SEEK_CUR ? file.offset : whence === SEEK_END ? contentOf(file).length : 0;
    if (base + offset < 0) return -EINVAL;
    file.offset = base + offset;
    return file.offset;
  },
  stat: () => ({ size: 0, mode: S_IFREG | 0o444 }),
};

export function bytesFile(content: Uint8Array, path: string): File {
  return new File(OPS, O_RDONLY, content, path);
}

/** Content from text; the core has no TextEncoder, and these files are ASCII. */
export function asciiFile(text: string, path: string): File {
  return bytesFile(asciiBytes(text), path);
}

export function asciiBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i) & 0x7f;
  return bytes;
}
