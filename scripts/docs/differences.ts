/** docs/differences.md: every comment of the sources that begins `Differs from Linux:`. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { generatedNotice, type Page } from './page.ts';

export interface Difference {
  /** Relative to the repository's root. */
  readonly path: string;
  /** Of the comment's first word, from 1. */
  readonly line: number;
  readonly text: string;
}

const MARK = /(?:^|\s|\*)Differs from Linux:\s*(.*)$/;

export function pages(root: string): Page[] {
  const found: Difference[] = [];
  for (const path of sourceFiles(root)) {
    found.push(...differencesIn(path, readFileSync(join(root, path), 'utf8')));
  }
  return [{ path: 'docs/differences.md', text: render(found) }];
}

/** The departures that one file admits. A comment ends at its end, at an empty line, at a tag or at the next mark. */
export function differencesIn(path: string, text: string): Difference[] {
  const found: Difference[] = [];
  const lines = text.split('\n');
  for (const [index, line] of lines.entries()) {
    const first = commentText(line);
    const mark = first === undefined ? null : MARK.exec(first);
    if (mark === null) continue;
    const words = [mark[1] ?? ''];
    if (!line.includes('*/')) {
      for (const next of lines.slice(index + 1)) {
        const more = commentText(next);
        if (more === undefined || more === '' || more.startsWith('@') || MARK.test(more)) break;
        words.push(more);
        if (next.includes('*/')) break;
      }
    }
    found.push({ path, line: index + 1, text: words.join(' ').trim() });
  }
  return found;
}

export function render(found: readonly Difference[]): string {
  const lines = [
    generatedNotice('the comments `Differs from Linux:` under src/'),
    '# Where Faultline differs from Linux',
    '',
    'Departures that are known and meant, file by file. What is not modelled at all is another page.',
    '',
  ];
  if (found.length === 0) lines.push('None is recorded.', '');
  let path = '';
  for (const difference of found) {
    if (difference.path !== path) {
      if (path !== '') lines.push('');
      path = difference.path;
      lines.push(`## [${path}](../${path})`, '');
    }
    lines.push(`- ${difference.text}`);
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

/** The text of a line that is, or ends in, a comment; without its marks. */
function commentText(line: string): string | undefined {
  const match = /^\s*(?:\/\*\*?|\*(?!\/)|\/\/)\s?(.*)$/.exec(line) ?? /\s\/\/\s(.*)$/.exec(line);
  return match?.[1]?.replace(/\*\/\s*$/, '').trim();
}

function sourceFiles(root: string): string[] {
  return readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.ts$/.test(name) && !/\.test\.ts$/.test(name))
    .map((name) => `src/${name.replaceAll('\\', '/')}`)
    .sort();
}
