/**
 * A schedule as a value: which thread took each step, and what it was answered where it had to choose.
 *
 * As text, `a3bc12.1a`: thread 0 takes 3 steps, thread 1 one, thread 2 twelve, the last of which is answered 1, and so
 * on. Threads 0 to 25 are `a` to `z`, 26 to 51 `A` to `Z`, any other is written `_52_`. Only letters, digits, `.` and
 * `_`, so that it passes through shells, logs and file names unharmed.
 */
import { at } from '../base/assert.ts';

export interface Schedule {
  /** The thread of each step. */
  readonly threads: readonly number[];
  /** For each step, the answer to its choice, or -1 when it had none. */
  readonly choices: readonly number[];
}

export const EMPTY_SCHEDULE: Schedule = { threads: [], choices: [] };

/** A schedule's text that is not one. The message says where and what was expected. */
export class MalformedSchedule extends Error {
  override readonly name = 'MalformedSchedule';
}

export function encodeSchedule(schedule: Schedule): string {
  const { threads, choices } = schedule;
  let text = '';
  for (let i = 0; i < threads.length; ) {
    const thread = at(threads, i);
    let run = 1;
    while (at(choices, i + run - 1) < 0 && threads[i + run] === thread) run++;
    const choice = at(choices, i + run - 1);
    text += threadName(thread) + (run > 1 ? run : '') + (choice >= 0 ? `.${choice}` : '');
    i += run;
  }
  return text;
}

/** @throws MalformedSchedule for anything that `encodeSchedule` could not have written */
export function decodeSchedule(text: string): Schedule {
  const threads: number[] = [];
  const choices: number[] = [];
  const token = /([a-zA-Z]|_(\d{1,6})_)(\d{1,7})?(?:\.(\d{1,7}))?/y;
  while (token.lastIndex < text.length) {
    const where = token.lastIndex;
    const match = token.exec(text);
    if (match === null) throw malformed(text, where, 'a thread (a letter or _number_)');
    const run = match[3] === undefined ? 1 : Number(match[3]);
    if (run < 1) throw malformed(text, where, 'a number of steps of at least 1');
    if (threads.length + run > MAX_STEPS)
      throw malformed(text, where, `at most ${MAX_STEPS} steps`);
    const thread = match[2] === undefined ? threadNumber(at(match, 1)) : Number(match[2]);
    for (let i = 0; i < run; i++) {
      threads.push(thread);
      choices.push(-1);
    }
    if (match[4] !== undefined) choices[choices.length - 1] = Number(match[4]);
  }
  return { threads, choices };
}

/** Changes of thread along the schedule, forced or not. */
export function threadChanges(schedule: Schedule): number {
  let changes = 0;
  for (let i = 1; i < schedule.threads.length; i++) {
    if (schedule.threads[i] !== schedule.threads[i - 1]) changes++;
  }
  return changes;
}

const MAX_STEPS = 10_000_000;
const LOWER = 'a'.charCodeAt(0);
const UPPER = 'A'.charCodeAt(0);

function threadName(thread: number): string {
  if (thread < 26) return String.fromCharCode(LOWER + thread);
  if (thread < 52) return String.fromCharCode(UPPER + thread - 26);
  return `_${thread}_`;
}

function threadNumber(letter: string): number {
  const code = letter.charCodeAt(0);
  return code >= LOWER ? code - LOWER : code - UPPER + 26;
}

function malformed(text: string, where: number, expected: string): MalformedSchedule {
  const found = where < text.length ? `'${text.slice(where, where + 8)}'` : 'the end';
  return new MalformedSchedule(
    `malformed schedule: expected ${expected} at character ${where + 1}, found ${found}`,
  );
}
