/**
 * The grammar of `.flt`, on chevrotain: recursive descent that builds the AST as it goes. It knows the shape of a
 * statement, not its verbs: `WORD operand…` is checked by elaborate.ts, which knows regions, files and system calls.
 */
import type { IToken } from 'chevrotain';
import type {
  Comparison,
  Expectation,
  GeometryDecl,
  Operand,
  Pos,
  Rule,
  Statement,
  ThreadDecl,
  When,
} from './ast.ts';
import { ExpressionGrammar, posOf } from './grammar-expressions.ts';
import { callOf, checkOutcome, checkWith, makeRule, setOf } from './grammar-nodes.ts';
import * as t from './tokens.ts';

/** Everything a file holds, in order; parse.ts puts it together. */
export interface ParsedFile {
  readonly name: string;
  readonly title: string;
  readonly items: readonly Item[];
}

export type Item =
  | { readonly is: 'geometry'; readonly geometry: readonly GeometryDecl[] }
  | { readonly is: 'setup'; readonly statement: Statement }
  | { readonly is: 'thread'; readonly thread: ThreadDecl }
  | { readonly is: 'process'; readonly name: string; readonly items: readonly ProcessItem[] }
  | { readonly is: 'finally'; readonly body: readonly Statement[]; readonly pos: Pos }
  | { readonly is: 'rules'; readonly rules: readonly Rule[] }
  | { readonly is: 'expectation'; readonly expectation: Expectation };

export type ProcessItem = Extract<Item, { readonly is: 'setup' | 'thread' }>;

type Rest = { readonly kind: 'operand' | 'call'; readonly operands: Operand[] };

export class LitmusGrammar extends ExpressionGrammar {
  constructor() {
    super();
    this.performSelfAnalysis();
  }

  readonly file: () => ParsedFile = this.RULE('file', () => {
    const items: Item[] = [];
    this.SUBRULE(this.separators);
    this.CONSUME(t.Litmus);
    const name = this.CONSUME(t.Name).image;
    this.SUBRULE2(this.separators);
    let title = '';
    this.OPTION(() => {
      title = this.SUBRULE(this.text);
      this.SUBRULE3(this.separators);
    });
    this.MANY(() => {
      const found = this.SUBRULE(this.item);
      this.ACTION(() => items.push(...found));
      this.SUBRULE4(this.separators);
    });
    return { name, title, items };
  });

  readonly item: () => Item[] = this.RULE('item', () =>
    this.OR<Item[]>([
      { ALT: () => [{ is: 'thread', thread: this.SUBRULE(this.thread) }] },
      { ALT: () => [this.SUBRULE(this.process)] },
      { ALT: () => [this.SUBRULE(this.final)] },
      { ALT: () => [{ is: 'geometry', geometry: this.SUBRULE(this.geometry) }] },
      { ALT: () => [{ is: 'rules', rules: this.SUBRULE(this.rule) }] },
      { ALT: () => [this.SUBRULE(this.conditional)] },
      { ALT: () => [{ is: 'setup', statement: this.SUBRULE(this.simple) }] },
    ]),
  );

  readonly thread: () => ThreadDecl = this.RULE('thread', () => {
    let daemon = false;
    this.OPTION(() => {
      this.CONSUME(t.Daemon);
      daemon = true;
    });
    this.CONSUME(t.Thread);
    const name = this.CONSUME(t.Name);
    const body = this.SUBRULE(this.block);
    return { name: name.image, daemon, body, pos: posOf(name) };
  });

  /** Set-up and threads of another process. */
  readonly process: () => Item = this.RULE('process', (): Item => {
    const items: ProcessItem[] = [];
    this.CONSUME(t.Process);
    const name = this.CONSUME(t.Name);
    this.CONSUME(t.Open);
    this.SUBRULE(this.separators);
    this.MANY(() => {
      this.OR<unknown>([
        { ALT: () => items.push({ is: 'thread', thread: this.SUBRULE(this.thread) }) },
        { ALT: () => items.push({ is: 'setup', statement: this.SUBRULE(this.simple) }) },
      ]);
      this.SUBRULE2(this.separators);
    });
    this.CONSUME(t.Close);
    return { is: 'process', name: name.image, items };
  });

  readonly final: () => Item = this.RULE('final', (): Item => {
    const start = this.CONSUME(t.Finally);
    const body = this.SUBRULE(this.block);
    return { is: 'finally', body, pos: posOf(start) };
  });

  readonly geometry: () => GeometryDecl[] = this.RULE('geometry', () => {
    const all: GeometryDecl[] = [];
    this.CONSUME(t.Geometry);
    this.AT_LEAST_ONE(() => {
      const key = this.CONSUME(t.Name);
      this.OPTION(() => this.CONSUME(t.Assign));
      const value = this.SUBRULE(this.number);
      this.OPTION2(() => this.CONSUME(t.Comma));
      all.push({ key: key.image, value, pos: posOf(key) });
    });
    return all;
  });

  readonly rule: () => Rule[] = this.RULE('rule', () => {
    return this.OR<Rule[]>([
      {
        ALT: () => {
          this.CONSUME(t.Promised);
          const rules: Rule[] = [];
          this.AT_LEAST_ONE_SEP({
            SEP: t.Comma,
            DEF: () => {
              const promise = this.CONSUME(t.Name);
              rules.push({
                kind: 'promise',
                name: `promise ${promise.image}`,
                subject: { kind: 'promise', promise: promise.image },
                when: null,
                pos: posOf(promise),
              });
            },
          });
          return rules;
        },
      },
      { ALT: () => [this.SUBRULE(this.condRule)] },
    ]);
  });

  readonly condRule: () => Rule = this.RULE('condRule', () => {
    const start = this.OR([
      { ALT: () => this.CONSUME(t.Never) },
      { ALT: () => this.CONSUME(t.Always) },
      { ALT: () => this.CONSUME(t.Exists) },
    ]);
    let name: string | null = null;
    // A text that comes first is always the name, so that a forgotten colon is what the message speaks of.
    this.OPTION({
      MAX_LOOKAHEAD: 1,
      DEF: () => {
        name = this.SUBRULE(this.text);
        this.CONSUME(t.Colon);
      },
    });
    const cond = this.SUBRULE(this.cond);
    return this.ACTION(() => makeRule(start, name, cond));
  });

  readonly conditional: () => Item = this.RULE('conditional', () => {
    const versions: { op: Comparison; version: string }[] = [];
    const patches: string[] = [];
    let start: IToken | null = null;
    this.AT_LEAST_ONE(() => {
      this.OR([
        {
          ALT: () => {
            const by = this.CONSUME(t.On);
            start ??= by;
            this.AT_LEAST_ONE_SEP({
              SEP: t.Comma,
              DEF: () => versions.push(this.SUBRULE(this.version)),
            });
          },
        },
        {
          ALT: () => {
            const by = this.CONSUME(t.With);
            start ??= by;
            const what = this.CONSUME(t.Name);
            this.AT_LEAST_ONE_SEP2({
              SEP: t.Comma,
              DEF: () =>
                this.OR2([
                  { ALT: () => patches.push(this.SUBRULE(this.dotted)) },
                  { ALT: () => versions.push(this.SUBRULE2(this.version)) },
                ]),
            });
            this.ACTION(() => checkWith(what, patches, versions));
          },
        },
      ]);
    });
    this.OPTION(() => this.CONSUME(t.Colon));
    const pos = this.ACTION(() => (start === null ? { line: 0, column: 0 } : posOf(start)));
    const when: When = { versions, patches, pos };
    return this.OR3<Item>([
      {
        ALT: () => {
          const rules = this.SUBRULE(this.rule);
          return this.ACTION(
            (): Item => ({ is: 'rules', rules: rules.map((rule) => ({ ...rule, when })) }),
          );
        },
      },
      {
        ALT: () => {
          const verb = this.CONSUME3(t.Name);
          const breaks: string[] = [];
          this.MANY_SEP({
            SEP: t.Comma,
            DEF: () => breaks.push(this.SUBRULE(this.text)),
          });
          this.ACTION(() => checkOutcome(verb, breaks));
          return { is: 'expectation', expectation: { when, breaks, pos } };
        },
      },
    ]);
  });

  readonly version: () => { op: Comparison; version: string } = this.RULE('version', () => {
    let op: Comparison = '==';
    this.OPTION(() => {
      op = this.CONSUME(t.Compare).image as Comparison;
    });
    return { op, version: this.CONSUME(t.Version).image };
  });

  /** A patch's name; those of mutations hold a dot. */
  readonly dotted: () => string = this.RULE('dotted', () => {
    let name = this.CONSUME(t.Name).image;
    this.MANY(() => {
      this.CONSUME(t.Dot);
      name += `.${this.CONSUME2(t.Name).image}`;
    });
    return name;
  });

  readonly block: () => Statement[] = this.RULE('block', () => {
    const body: Statement[] = [];
    this.CONSUME(t.Open);
    this.SUBRULE(this.separators);
    this.MANY(() => {
      body.push(this.SUBRULE(this.statement));
      this.SUBRULE2(this.separators);
    });
    this.CONSUME(t.Close);
    return body;
  });

  readonly statement: () => Statement = this.RULE('statement', () =>
    this.OR<Statement>([
      { ALT: () => this.SUBRULE(this.on) },
      { ALT: () => this.SUBRULE(this.loop) },
      { ALT: () => ({ kind: 'break', pos: posOf(this.CONSUME(t.Break)) }) },
      { ALT: () => this.SUBRULE(this.simple) },
    ]),
  );

  readonly on: () => Statement = this.RULE('on', (): Statement => {
    const start = this.CONSUME(t.On);
    const cond = this.SUBRULE(this.cond);
    const body = this.SUBRULE(this.block);
    let otherwise: Statement[] = [];
    this.OPTION(() => {
      this.CONSUME(t.Else);
      otherwise = this.SUBRULE2(this.block);
    });
    return { kind: 'on', cond, body, otherwise, pos: posOf(start) };
  });

  readonly loop: () => Statement = this.RULE('loop', (): Statement => {
    const start = this.CONSUME(t.Loop);
    let times: number | null = null;
    this.OPTION(() => {
      times = this.SUBRULE(this.number);
    });
    const body = this.SUBRULE(this.block);
    return { kind: 'loop', times, body, pos: posOf(start) };
  });

  /** `verb operand…`, `r = verb operand…`, `r = value`. */
  readonly simple: () => Statement = this.RULE('simple', () => {
    const first = this.CONSUME(t.Name);
    return this.OR<Statement>([
      {
        ALT: () => {
          this.CONSUME(t.Assign);
          return this.SUBRULE(this.assigned, { ARGS: [first] });
        },
      },
      {
        ALT: () => {
          const rest = this.SUBRULE(this.operands);
          const block = this.SUBRULE(this.maybeBlock);
          return this.ACTION(() => callOf(null, first, rest, block));
        },
      },
    ]);
  });

  readonly assigned: (into: IToken) => Statement = this.RULE('assigned', (into: IToken) =>
    this.OR<Statement>([
      {
        ALT: () => {
          const value = this.SUBRULE(this.literal);
          return this.ACTION(
            (): Statement => ({ kind: 'set', into: into.image, value, pos: posOf(into) }),
          );
        },
      },
      {
        ALT: () => {
          const head = this.CONSUME(t.Name);
          const rest = this.SUBRULE(this.afterHead, { ARGS: [head] });
          const block = this.SUBRULE(this.maybeBlock);
          return this.ACTION(() =>
            rest.kind === 'operand'
              ? setOf(into, rest.operands)
              : callOf(into, head, rest.operands, block),
          );
        },
      },
    ]),
  );

  readonly afterHead: (head: IToken) => Rest = this.RULE('afterHead', (head: IToken) =>
    this.OR<Rest>([
      {
        ALT: () => {
          this.CONSUME(t.Dot);
          const member = this.CONSUME(t.Name);
          const plus = this.SUBRULE(this.offset);
          return this.ACTION(
            (): Rest => ({
              kind: 'operand',
              operands: [
                {
                  kind: 'member',
                  base: head.image,
                  member: member.image,
                  plus,
                  pos: posOf(head),
                },
              ],
            }),
          );
        },
      },
      {
        // `x - 1` is a difference; a call whose first argument is negative gets it through resolveSet.
        IGNORE_AMBIGUITIES: true,
        ALT: () => {
          const plus = this.SUBRULE(this.sureOffset);
          return this.ACTION(
            (): Rest => ({
              kind: 'operand',
              operands: [{ kind: 'word', name: head.image, plus, pos: posOf(head) }],
            }),
          );
        },
      },
      { ALT: () => ({ kind: 'call', operands: this.SUBRULE(this.operands) }) },
    ]),
  );

  readonly maybeBlock: () => Statement[] | null = this.RULE('maybeBlock', () => {
    let block: Statement[] | null = null;
    this.OPTION(() => {
      block = this.SUBRULE(this.block);
    });
    return block;
  });
}
