/** Programs with what a kernel said of them, as text: a title after `#`, operations after `>`, answers in between. */
import { type Program, parseProgram, type Transcript, wordsOf } from './operations.ts';

export interface Recorded {
  readonly title: string;
  readonly program: Program;
  readonly answer: Transcript;
}

/** One program as text: each operation, then what was said of it. */
export function recorded(title: string, program: Program, answer: Transcript): string {
  let text = `\n# ${title}\n`;
  let next = 0;
  for (const line of answer) {
    const begins = line.startsWith('=') || line.startsWith('stops');
    const operation = begins ? program[next++] : undefined;
    if (operation !== undefined) text += `> ${wordsOf(operation)}\n`;
    text += `${line}\n`;
  }
  return text;
}

/** Every program of a text; what stands before the first title is for people. */
export function parseRecorded(text: string): Recorded[] {
  return text
    .split('\n# ')
    .slice(1)
    .map((block) => {
      const [title = '', ...lines] = block.split('\n').filter((line) => line !== '');
      const operations = lines.filter((line) => line.startsWith('> '));
      return {
        title,
        program: parseProgram(operations.map((line) => line.slice(2)).join('\n')),
        answer: lines.filter((line) => !line.startsWith('> ')),
      };
    });
}
