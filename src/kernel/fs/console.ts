/** The terminal of a guest: bytes go to and come from whoever runs the World. */
import type { Steps } from '../../sched/op.ts';
import { O_RDWR, S_IFCHR } from '../../uapi/fcntl.ts';
import { world } from '../current.ts';
import { File, type FileOps, POLLIN, POLLOUT } from './file.ts';

/** Implemented outside the core (the command line, a test, a browser). Must answer from what the schedule decides. */
export interface Console {
  /** @param stream 1 standard output, 2 standard error */
  write(stream: 1 | 2, bytes: Uint8Array): void;
  /** At most `count` bytes of standard input; empty at its end. */
  read(count: number): Uint8Array;
}

const TTY_RDEV = 0x8801;

function consoleOps(stream: 0 | 1 | 2): FileOps {
  return {
    kind: 'console',
    *read(_task, _file, count): Steps<Uint8Array | number> {
      return world.console?.read(count) ?? new Uint8Array(0);
    },
    *write(_task, _file, data): Steps<number> {
      world.console?.write(stream === 2 ? 2 : 1, data);
      return data.length;
    },
    poll: () => POLLIN | POLLOUT,
    stat: () => ({ size: 0, mode: S_IFCHR | 0o620, rdev: TTY_RDEV }),
  };
}

export function consoleFile(stream: 0 | 1 | 2): File {
  return new File(consoleOps(stream), O_RDWR, stream, '/dev/console');
}
