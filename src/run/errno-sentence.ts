/** What an error means in general, for calls that do not say which of their checks failed. errno(3) */
import { errnoName } from '../uapi/errno.ts';

const SENTENCES: Readonly<Record<string, string>> = {
  EPERM: 'the caller may not do this',
  ENOENT: 'there is no file of this name; only a few of /proc and /dev are there',
  ESRCH: 'there is no such process or thread',
  EINTR: 'a signal came while the call was waiting',
  EBADF: 'no such descriptor, or it was not opened for this',
  ECHILD: 'there is no child to wait for',
  EAGAIN: 'it would have to wait, or what it expected has changed meanwhile',
  ENOMEM: 'out of memory, or the range is not mapped throughout',
  EACCES: 'the file was not opened for this, or the rights asked for are not granted',
  EFAULT: 'a pointer of the caller is not mapped, or not for this access',
  EEXIST: 'something is there already',
  EINVAL: 'an argument is not one that the call knows',
  EMFILE: 'the process has no free descriptor',
  ENOTTY: 'the file does not know this request',
  ESPIPE: 'a pipe or terminal has no position',
  EPIPE: 'nobody reads from the other end any more',
  ENAMETOOLONG: 'the path is too long',
  ETIMEDOUT: 'the time given was over first',
};

/** @param known whether the call has a row in the system-call table */
export function errnoSentence(errno: number, known: boolean): string {
  const name = errnoName(errno);
  if (name === 'ENOSYS') {
    return known ? 'this part of the call is not modelled' : 'the call is not modelled';
  }
  return SENTENCES[name] ?? name;
}
