/** Files whose content is made as they are read: what procfs and sysfs offer. @linux fs/seq_file.c */
import type { Steps } from '../../sched/op.ts';
import { EINVAL, EIO } from '../../uapi/errno.ts';
import { O_ACCMODE, O_RDONLY, S_IFREG, SEEK_CUR, SEEK_END } from '../../uapi/fcntl.ts';
import { File, type FileOps, POLLIN } from './file.ts';

interface Content {
  bytes: Uint8Array;
  readonly make: () => string;
  readonly store: Store | null;
}

/** What writing a text does: 0 or a negative errno. */
export type Store = (text: string) => number | Steps<number>;

function contentOf(file: File): Content {
  return file.data as Content;
}

const OPS: FileOps = {
  kind: 'seq_file',
  *read(_task, file, count, offset): Steps<Uint8Array | number> {
    const from = offset ?? file.offset;
    const content = contentOf(file);
    if (from === 0) content.bytes = asciiBytes(content.make());
    const part = content.bytes.slice(from, from + count);
    if (offset === null) file.offset += part.length;
    return part;
  },
  *write(_task, file, data, offset): Steps<number> {
    const { store } = contentOf(file);
    if (store === null) return -EIO;
    // A sysctl is only set by a write to its beginning, anything else by each write (sysctl_writes_strict).
    const ignored = file.path.startsWith('/proc/sys/') && (offset ?? file.offset) !== 0;
    const stored = ignored ? 0 : store(String.fromCharCode(...data));
    const error = typeof stored === 'number' ? stored : yield* stored;
    if (error < 0) return error;
    if (offset === null) file.offset += data.length;
    return data.length;
  },
  poll: () => POLLIN,
  seek(file, offset, whence) {
    const base = whence === SEEK_CUR ? file.offset : 0;
    if (whence === SEEK_END || base + offset < 0) return -EINVAL;
    file.offset = base + offset;
    return file.offset;
  },
  stat: () => ({ size: 0, mode: S_IFREG | 0o444 }),
};

/**
 * A text that is made when it is read from its beginning, and again after seeking back there.
 * @param store for one that can be written @param flags how it is opened
 */
export function seqFile(
  make: () => string,
  path: string,
  store: Store | null = null,
  flags: number = O_RDONLY,
): File {
  const data: Content = { bytes: new Uint8Array(0), make, store };
  return new File(OPS, store === null ? O_RDONLY : flags & O_ACCMODE, data, path);
}

/** The core has no TextEncoder, and these files are ASCII. */
export function asciiBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i) & 0x7f;
  return bytes;
}
