/** Verbs of a proposal, a userfaultfd that watches a file: `watch U F`, `protect_file U F 0`, `unprotect_file U F 0`. */
import { must } from '../base/assert.ts';
import type { Task } from '../kernel/core/task.ts';
import type { Inode } from '../kernel/fs/inode.ts';
import { ctxOfFile } from '../kernel/fs/userfaultfd-file.ts';
import { protectFilePage, unprotectFilePage, watchFile } from '../kernel/mm/file-watch.ts';
import type { Steps } from '../sched/op.ts';
import { type Call, resultOf } from './calls.ts';
import { fdOf } from './operands.ts';
import { PAGE } from './scope.ts';
import { atMost, numberOf, type Verb, type VerbContext, want } from './verb.ts';

const WATCH_USAGE = 'watch U F';
const PROTECT_USAGE = 'protect_file U F 0';
const UNPROTECT_USAGE = 'unprotect_file U F 0';

export const WATCH_VERBS: Readonly<Record<string, Verb>> = {
  watch: { usage: WATCH_USAGE, compile: compileWatch },
  protect_file: {
    usage: PROTECT_USAGE,
    compile: (c) => pageCall(c, PROTECT_USAGE, protectFilePage),
  },
  unprotect_file: {
    usage: UNPROTECT_USAGE,
    compile: (c) => pageCall(c, UNPROTECT_USAGE, unprotectFilePage),
  },
};

function inodeOf(task: Task, fd: number): Inode {
  return must(task.files.get(fd)?.inode ?? null, 'a file');
}

function compileWatch(c: VerbContext): Call {
  const uffd = fdOf(c.scope, c.strand, want(c, 0, 'a userfaultfd', WATCH_USAGE));
  const file = fdOf(c.scope, c.strand, want(c, 1, 'a memfd', WATCH_USAGE));
  atMost(c, 2, WATCH_USAGE);
  return function* (run, task) {
    const ctx = must(ctxOfFile(task.files.get(uffd(run))), 'a userfaultfd');
    return resultOf(watchFile(ctx, inodeOf(task, file(run))));
  };
}

/** A page by its number, or that of a message. */
function pageCall(
  c: VerbContext,
  usage: string,
  perform: (inode: Inode, index: number) => Steps<number>,
): Call {
  want(c, 0, 'a userfaultfd', usage);
  const file = fdOf(c.scope, c.strand, want(c, 1, 'a memfd', usage));
  const operand = want(c, 2, 'a page of the file', usage);
  const page = numberOf(c, operand);
  atMost(c, 3, usage);
  const scale = operand.kind === 'member' ? PAGE : 1;
  return function* (run, task) {
    return resultOf(yield* perform(inodeOf(task, file(run)), Math.floor(page(run) / scale)));
  };
}
