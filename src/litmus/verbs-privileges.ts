/** What the administrator does: `uid 1000`, `sysctl unprivileged_userfaultfd 1` in the set-up, `swapoff`. */
import { must } from '../base/assert.ts';
import { world } from '../kernel/current.ts';
import { STORES } from '../kernel/fs/sysfs.ts';
import { swapoffWhy } from '../kernel/syscall/swapon.ts';
import { EINVAL } from '../uapi/errno.ts';
import { type Call, resultOf } from './calls.ts';
import { didYouMean, LitmusError } from './error.ts';
import { atMost, type Verb, type VerbContext, want } from './verb.ts';

const UID_USAGE = 'uid 1000';
const SYSCTL_USAGE = 'sysctl unprivileged_userfaultfd 1';
const SWAPOFF_USAGE = 'r = swapoff';
const VM = '/proc/sys/vm/';

export const PRIVILEGE_VERBS: Readonly<Record<string, Verb>> = {
  uid: { usage: UID_USAGE, compile: compileUid },
  sysctl: { usage: SYSCTL_USAGE, compile: compileSysctl },
  swapoff: { usage: SWAPOFF_USAGE, compile: compileSwapoff },
};

function inSetup(c: VerbContext, usage: string): void {
  if (c.strand.kind === 'setup') return;
  throw new LitmusError('this is decided in the set-up', c.pos, usage);
}

/** From here on the process is that user's, and its threads are. */
function compileUid(c: VerbContext): Call {
  inSetup(c, UID_USAGE);
  const user = want(c, 0, 'a number', UID_USAGE);
  atMost(c, 1, UID_USAGE);
  if (user.kind !== 'number') throw new LitmusError('uid wants a number', user.pos, UID_USAGE);
  const { value } = user;
  return function* (_run, task) {
    task.uid = value;
    return 0;
  };
}

function compileSysctl(c: VerbContext): Call {
  inSetup(c, SYSCTL_USAGE);
  const operand = want(c, 0, 'a name', SYSCTL_USAGE);
  const value = want(c, 1, 'a number', SYSCTL_USAGE);
  atMost(c, 2, SYSCTL_USAGE);
  const name = operand.kind === 'word' ? operand.name : '';
  const store = STORES[VM + name];
  if (store === undefined) {
    const known = Object.keys(STORES).flatMap((path) =>
      path.startsWith(VM) ? [path.slice(VM.length)] : [],
    );
    throw new LitmusError(`vm has no sysctl ${name}`, operand.pos, didYouMean(name, known));
  }
  const text = value.kind === 'number' ? String(value.value) : '';
  return function* () {
    const stored = store(text);
    return resultOf(typeof stored === 'number' ? stored : yield* stored);
  };
}

/** swapoff(2) of the only device there is. */
function compileSwapoff(c: VerbContext): Call {
  atMost(c, 0, SWAPOFF_USAGE);
  return function* () {
    const device = must(world.swap, 'swap device');
    return resultOf(device.writable ? yield* swapoffWhy(device) : -EINVAL);
  };
}
