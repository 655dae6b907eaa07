/** Text of a `.flt` file to a LitmusTest. */
import { EOF, type ILexingError, type IRecognitionException, type IToken, Lexer } from 'chevrotain';
import { assert } from '../base/assert.ts';
import type {
  Expectation,
  GeometryDecl,
  LitmusTest,
  Pos,
  Rule,
  SetupStatement,
  Statement,
  ThreadDecl,
} from './ast.ts';
import { didYouMean, LitmusError } from './error.ts';
import { type Item, LitmusGrammar } from './grammar.ts';
import { posOf } from './grammar-expressions.ts';
import { isKeyword } from './messages.ts';
import { TOKENS } from './tokens.ts';

const lexer = new Lexer(TOKENS, { positionTracking: 'full', ensureOptimizations: false });
const grammar = new LitmusGrammar();

/** @throws LitmusError for whatever is wrong with the text; nothing else */
export function parseLitmus(text: string): LitmusTest {
  const { tokens, errors } = lexer.tokenize(text);
  const [bad] = errors;
  if (bad !== undefined) throw lexingError(text, bad);
  grammar.input = tokens;
  const file = grammar.file();
  const [wrong] = grammar.errors;
  if (wrong !== undefined) throw parsingError(wrong, tokens);
  assert(file !== undefined, 'the parser gave neither a file nor an error');
  return assemble(file.name, file.title, file.items);
}

function assemble(name: string, title: string, items: readonly Item[]): LitmusTest {
  const geometry: GeometryDecl[] = [];
  const setup: SetupStatement[] = [];
  const threads: ThreadDecl[] = [];
  const rules: Rule[] = [];
  const expectations: Expectation[] = [];
  let last: readonly Statement[] | null = null;
  for (const item of items) {
    switch (item.is) {
      case 'geometry':
        geometry.push(...item.geometry);
        break;
      case 'setup':
        setup.push(item.statement);
        break;
      case 'thread':
        threads.push(item.thread);
        break;
      case 'process':
        for (const part of item.items) {
          if (part.is === 'setup') setup.push({ ...part.statement, process: item.name });
          else threads.push({ ...part.thread, process: item.name });
        }
        break;
      case 'rules':
        rules.push(...item.rules);
        break;
      case 'expectation':
        expectations.push(item.expectation);
        break;
      case 'finally':
        if (last !== null) {
          throw new LitmusError('a second `finally`', item.pos, 'put everything into one');
        }
        last = item.body;
        break;
    }
  }
  return { name, title, geometry, setup, threads, finally: last ?? [], rules, expectations };
}

function lexingError(text: string, error: ILexingError): LitmusError {
  const pos: Pos = { line: error.line ?? 1, column: error.column ?? 1 };
  const char = text[error.offset] ?? '';
  if (char === '"') {
    return new LitmusError('a text in quotes does not end on its line', pos, 'close it with "');
  }
  if (char === '/' && (text[error.offset + 1] === '/' || text[error.offset + 1] === '*')) {
    return new LitmusError(`\`${char}\` cannot stand here`, pos, 'comments begin with #');
  }
  const printable = char >= ' ' && char <= '~' ? `\`${char}\`` : `character U+${hex(char)}`;
  const hint = char === '&' ? 'write `and`' : char === '!' ? 'write `not`' : '';
  return new LitmusError(`${printable} cannot stand here`, pos, hint);
}

function hex(char: string): string {
  return (char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
}

function parsingError(
  error: IRecognitionException & { previousToken?: IToken },
  tokens: readonly IToken[],
): LitmusError {
  const { token } = error;
  const atEnd = token.tokenType === EOF;
  const last = error.previousToken ?? tokens[tokens.length - 1];
  const pos = !atEnd ? posOf(token) : last === undefined ? { line: 1, column: 1 } : endOf(last);
  return new LitmusError(error.message, pos, hintFor(error, atEnd, tokens));
}

function endOf(token: IToken): Pos {
  return { line: token.endLine || 1, column: (token.endColumn || 0) + 1 };
}

const OPENINGS: readonly string[] = [
  'litmus',
  'thread',
  'daemon',
  'finally',
  'never',
  'always',
  'exists',
  'promise',
  'with',
];

function hintFor(error: IRecognitionException, atEnd: boolean, tokens: readonly IToken[]): string {
  const { token } = error;
  if (tokens.length === 0) return 'a file begins with `litmus NAME`';
  const rule = error.context.ruleStack.at(-1) ?? '';
  if (error.message.includes('`litmus`')) return 'a file begins with `litmus NAME`';
  if (atEnd) return 'a `{` above is not closed';
  if (isKeyword(token) && error.message.startsWith('expected a name')) {
    return `\`${token.image}\` is a word of the language: choose another name`;
  }
  if (error.message.startsWith('expected `:`')) return 'a colon follows the name of a rule';
  if (token.image === '=') return 'a comparison is written `==`';
  if (['condRule', 'relation', 'negation', 'operand', 'named'].includes(rule)) {
    return 'a rule is: never "name": r0 == 1 and r1 == 2';
  }
  if (rule === 'thread' || rule === 'block') return 'a thread is: thread NAME { statements }';
  const before = tokens[tokens.indexOf(token) - 1];
  if (before !== undefined && !isKeyword(before)) {
    const hint = didYouMean(before.image, OPENINGS);
    if (hint.startsWith('did')) return `in \`${before.image}\`: ${hint}`;
  }
  return 'one statement stands on a line, or they are separated by `;`';
}
