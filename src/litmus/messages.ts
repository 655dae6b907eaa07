/** What the parser says when it cannot go on: what it expected in words, and what it found. */
import type { IParserErrorMessageProvider, IToken, TokenType } from 'chevrotain';
import { EOF, tokenLabel } from 'chevrotain';
import { KEYWORDS, Name, NewLine } from './tokens.ts';

export const MESSAGES: IParserErrorMessageProvider = {
  buildMismatchTokenMessage: ({ expected, actual }) =>
    `expected ${labelOf(expected)}, found ${found(actual)}`,
  buildNotAllInputParsedMessage: ({ firstRedundant }) => unexpected(firstRedundant),
  buildNoViableAltMessage: ({ expectedPathsPerAlt, actual }) =>
    expectedOf(expectedPathsPerAlt.flat(), actual[0]),
  buildEarlyExitMessage: ({ expectedIterationPaths, actual }) =>
    expectedOf(expectedIterationPaths, actual[0]),
};

/** Whether a token is a word of the language where a name was expected: worth a hint. */
export function isKeyword(token: IToken): boolean {
  return KEYWORDS.includes(token.tokenType);
}

export function found(token: IToken | undefined): string {
  if (token === undefined || token.tokenType === EOF) return 'the end of the file';
  if (token.tokenType === NewLine) return 'the end of the line';
  return `\`${token.image}\``;
}

function unexpected(token: IToken): string {
  return `${found(token)} cannot stand here`;
}

function expectedOf(paths: readonly (readonly TokenType[])[], actual: IToken | undefined): string {
  const firsts = new Set<TokenType>();
  for (const [first] of paths) if (first !== undefined) firsts.add(first);
  if (firsts.size === 0 || firsts.size > 6) return `${found(actual)} cannot stand here`;
  const labels = [...firsts].map(labelOf);
  const last = labels.pop() ?? '';
  const list = labels.length === 0 ? last : `${labels.join(', ')} or ${last}`;
  return `expected ${list}, found ${found(actual)}`;
}

function labelOf(type: TokenType): string {
  return type === EOF ? 'the end of the file' : type === Name ? 'a name' : tokenLabel(type);
}
