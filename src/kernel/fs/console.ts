/** The terminal of a guest: bytes go to and come from whoever runs the World. */
import { giveWay } from '../../sched/access.ts';
import type { Steps } from '../../sched/op.ts';
import { EPIPE } from '../../uapi/errno.ts';
import { O_RDWR, S_IFCHR } from '../../uapi/fcntl.ts';
import { SI_KERNEL, SIGPIPE } from '../../uapi/signal.ts';
import { sendSignal } from '../core/signal.ts';
import { world } from '../current.ts';
import { File, type FileOps, POLLIN, POLLOUT } from './file.ts';

/** Implemented outside the core (the command line, a test, a browser). Must answer from what the schedule decides. */
export interface Console {
  /** @param stream 1 standard output, 2 standard error @returns false when nobody reads it any more */
  write(stream: 1 | 2, bytes: Uint8Array): boolean;
  /** A read is about to be made: nothing runs before there is input, so that its timing never shows. */
  wantInput(): void;
  /** At most `count` bytes of standard input; empty at its end. */
  read(count: number): Uint8Array;
}

const TTY_RDEV = 0x8801;

function consoleOps(stream: 0 | 1 | 2): FileOps {
  return {
    kind: 'console',
    *read(_task, _file, count): Steps<Uint8Array | number> {
      world.console?.wantInput();
      yield* giveWay('read of the terminal');
      return world.console?.read(count) ?? new Uint8Array(0);
    },
    *write(task, _file, data): Steps<number> {
      if (world.console?.write(stream === 2 ? 2 : 1, data) !== false) return data.length;
      sendSignal(task, { signo: SIGPIPE, code: SI_KERNEL, address: 0, pid: 0, status: 0 });
      return -EPIPE;
    },
    poll: () => POLLIN | POLLOUT,
    stat: () => ({ size: 0, mode: S_IFCHR | 0o620, rdev: TTY_RDEV }),
  };
}

export function consoleFile(stream: 0 | 1 | 2): File {
  return new File(consoleOps(stream), O_RDWR, stream, '/dev/console');
}
