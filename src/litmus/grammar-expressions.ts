/** The lower half of the grammar: operands and conditions. */
import { EmbeddedActionsParser, type IToken } from 'chevrotain';
import type { Comparison, Cond, Index, Operand, Pos } from './ast.ts';
import { MESSAGES } from './messages.ts';
import * as t from './tokens.ts';

export class ExpressionGrammar extends EmbeddedActionsParser {
  constructor() {
    super(t.TOKENS, { maxLookahead: 2, errorMessageProvider: MESSAGES, recoveryEnabled: false });
  }

  readonly operands: () => Operand[] = this.RULE('operands', () => {
    const all: Operand[] = [];
    this.MANY(() => {
      all.push(this.SUBRULE(this.operand));
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    return all;
  });

  readonly operand: () => Operand = this.RULE('operand', () =>
    this.OR<Operand>([
      { ALT: () => this.SUBRULE(this.literal) },
      { ALT: () => this.SUBRULE(this.named) },
    ]),
  );

  readonly literal: () => Operand = this.RULE('literal', () =>
    this.OR<Operand>([
      {
        ALT: () => {
          let sign = 1;
          this.OPTION(() => {
            this.CONSUME(t.Minus);
            sign = -1;
          });
          const token = this.CONSUME(t.Num);
          return { kind: 'number', value: sign * Number(token.image), plus: 0, pos: posOf(token) };
        },
      },
      {
        ALT: () => {
          const token = this.CONSUME(t.Text);
          return { kind: 'string', value: token.image.slice(1, -1), plus: 0, pos: posOf(token) };
        },
      },
    ]),
  );

  readonly named: () => Operand = this.RULE('named', () => {
    const head = this.CONSUME(t.Name);
    const pos = posOf(head);
    const name = head.image;
    return this.OR<Operand>([
      {
        ALT: () => {
          this.CONSUME(t.OpenIndex);
          const first = this.SUBRULE(this.index);
          let last: Index | null = null;
          this.OPTION(() => {
            this.CONSUME(t.Range);
            last = this.SUBRULE2(this.index);
          });
          this.CONSUME(t.CloseIndex);
          const plus = this.SUBRULE(this.offset);
          return { kind: 'place', region: name, first, last, plus, pos };
        },
      },
      {
        ALT: () => {
          this.CONSUME(t.Dot);
          const member = this.CONSUME2(t.Name).image;
          const plus = this.SUBRULE2(this.offset);
          return { kind: 'member', base: name, member, plus, pos };
        },
      },
      {
        ALT: () => {
          const names = [name];
          this.AT_LEAST_ONE(() => {
            this.CONSUME(t.Bar);
            names.push(this.CONSUME3(t.Name).image);
          });
          return { kind: 'flags', names, plus: 0, pos };
        },
      },
      {
        ALT: () => {
          const plus = this.SUBRULE3(this.offset);
          return { kind: 'word', name, plus, pos };
        },
      },
    ]);
  });

  readonly index: () => Index = this.RULE('index', () =>
    this.OR<Index>([
      { ALT: () => this.SUBRULE(this.number) },
      { ALT: () => this.CONSUME(t.Name).image },
    ]),
  );

  readonly offset: () => number = this.RULE('offset', () => {
    let plus = 0;
    this.OPTION(() => {
      plus = this.SUBRULE(this.sureOffset);
    });
    return plus;
  });

  readonly sureOffset: () => number = this.RULE('sureOffset', () => {
    const sign = this.OR([
      {
        ALT: () => {
          this.CONSUME(t.Plus);
          return 1;
        },
      },
      {
        ALT: () => {
          this.CONSUME(t.Minus);
          return -1;
        },
      },
    ]);
    return sign * this.SUBRULE(this.number);
  });

  readonly number: () => number = this.RULE('number', () => Number(this.CONSUME(t.Num).image));
  readonly text: () => string = this.RULE('text', () => this.CONSUME(t.Text).image.slice(1, -1));

  readonly cond: () => Cond = this.RULE('cond', () => {
    let left = this.SUBRULE(this.conjunction);
    this.MANY(() => {
      this.CONSUME(t.Or);
      left = { kind: 'or', left, right: this.SUBRULE2(this.conjunction) };
    });
    return left;
  });

  readonly conjunction: () => Cond = this.RULE('conjunction', () => {
    let left = this.SUBRULE(this.negation);
    this.MANY(() => {
      this.CONSUME(t.And);
      left = { kind: 'and', left, right: this.SUBRULE2(this.negation) };
    });
    return left;
  });

  readonly negation: () => Cond = this.RULE('negation', () =>
    this.OR<Cond>([
      {
        ALT: () => {
          this.CONSUME(t.Not);
          return { kind: 'not', of: this.SUBRULE(this.negation) };
        },
      },
      {
        ALT: () => {
          this.CONSUME(t.OpenParen);
          const cond = this.SUBRULE(this.cond);
          this.CONSUME(t.CloseParen);
          return cond;
        },
      },
      { ALT: () => this.SUBRULE(this.relation) },
    ]),
  );

  readonly relation: () => Cond = this.RULE('relation', () => {
    const left = this.SUBRULE(this.operand);
    return this.OR<Cond>([
      {
        ALT: () => {
          const op = this.CONSUME(t.Compare).image as Comparison;
          return { kind: 'compare', op, left, right: this.SUBRULE2(this.operand) };
        },
      },
      {
        ALT: () => {
          this.CONSUME(t.Has);
          const flag = this.CONSUME(t.Name);
          return { kind: 'has', left, flag: flag.image, pos: posOf(flag) };
        },
      },
      { ALT: () => ({ kind: 'truth', of: left }) },
    ]);
  });

  readonly separators: () => void = this.RULE('separators', () => {
    this.MANY(() =>
      this.OR([{ ALT: () => this.CONSUME(t.NewLine) }, { ALT: () => this.CONSUME(t.Semicolon) }]),
    );
  });
}

export function posOf(token: IToken): Pos {
  return { line: token.startLine || 1, column: token.startColumn || 1 };
}
