/** The words of the language. Line ends separate statements, so they are tokens. */
import { createToken, Lexer, type TokenType } from 'chevrotain';

export const Name: TokenType = createToken({
  name: 'Name',
  label: 'a name',
  pattern: /[A-Za-z_][A-Za-z0-9_]*(?:-[A-Za-z0-9_]+)*/,
});

function word(text: string): TokenType {
  const name = text.charAt(0).toUpperCase() + text.slice(1);
  return createToken({ name, label: `\`${text}\``, pattern: text, longer_alt: Name });
}

function sign(name: string, text: string): TokenType {
  return createToken({ name, label: `\`${text}\``, pattern: text });
}

export const Litmus: TokenType = word('litmus');
export const Thread: TokenType = word('thread');
export const Daemon: TokenType = word('daemon');
export const Process: TokenType = word('process');
export const Finally: TokenType = word('finally');
export const Loop: TokenType = word('loop');
export const Break: TokenType = word('break');
export const On: TokenType = word('on');
export const Else: TokenType = word('else');
export const With: TokenType = word('with');
export const Never: TokenType = word('never');
export const Always: TokenType = word('always');
export const Exists: TokenType = word('exists');
export const Promised: TokenType = word('promise');
export const Geometry: TokenType = word('geometry');
export const And: TokenType = word('and');
export const Or: TokenType = word('or');
export const Not: TokenType = word('not');
export const Has: TokenType = word('has');

export const Version: TokenType = createToken({
  name: 'Version',
  label: 'a kernel version',
  pattern: /\d+\.\d+(?:\/[a-z0-9-]+)?/,
});
export const Num: TokenType = createToken({
  name: 'Num',
  label: 'a number',
  pattern: /0x[0-9a-fA-F]+|\d+/,
});
export const Text: TokenType = createToken({
  name: 'Text',
  label: 'a text in quotes',
  pattern: /"[^"\n]*"/,
});
export const NewLine: TokenType = createToken({
  name: 'NewLine',
  label: 'the end of the line',
  pattern: /\r?\n/,
  line_breaks: true,
});
const Blank = createToken({ name: 'Blank', pattern: /[ \t]+/, group: Lexer.SKIPPED });
const Comment = createToken({ name: 'Comment', pattern: /#[^\n]*/, group: Lexer.SKIPPED });

export const Semicolon: TokenType = sign('Semicolon', ';');
export const Comma: TokenType = sign('Comma', ',');
export const Colon: TokenType = sign('Colon', ':');
export const Open: TokenType = sign('Open', '{');
export const Close: TokenType = sign('Close', '}');
export const OpenIndex: TokenType = sign('OpenIndex', '[');
export const CloseIndex: TokenType = sign('CloseIndex', ']');
export const OpenParen: TokenType = sign('OpenParen', '(');
export const CloseParen: TokenType = sign('CloseParen', ')');
export const Range: TokenType = sign('Range', '..');
export const Dot: TokenType = sign('Dot', '.');
export const Plus: TokenType = sign('Plus', '+');
export const Minus: TokenType = sign('Minus', '-');
export const Bar: TokenType = sign('Bar', '|');
export const Compare: TokenType = createToken({
  name: 'Compare',
  label: 'a comparison',
  pattern: /==|!=|<=|>=|<|>/,
});
export const Assign: TokenType = sign('Assign', '=');

export const KEYWORDS: readonly TokenType[] = [
  Litmus,
  Thread,
  Daemon,
  Process,
  Finally,
  Loop,
  Break,
  On,
  Else,
  With,
  Never,
  Always,
  Exists,
  Promised,
  Geometry,
  And,
  Or,
  Not,
  Has,
];

export const TOKENS: TokenType[] = [
  Blank,
  Comment,
  NewLine,
  ...KEYWORDS,
  Name,
  Version,
  Num,
  Text,
  Semicolon,
  Comma,
  Colon,
  Open,
  Close,
  OpenIndex,
  CloseIndex,
  OpenParen,
  CloseParen,
  Range,
  Dot,
  Plus,
  Minus,
  Bar,
  Compare,
  Assign,
];
