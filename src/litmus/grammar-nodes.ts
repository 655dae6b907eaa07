/** Nodes of the AST from tokens: what the grammar's rules have in common. */
import type { IToken } from 'chevrotain';
import type { Cond, Event, Operand, Rule, Statement } from './ast.ts';
import { EVENTS } from './ast.ts';
import { LitmusError } from './error.ts';
import { posOf } from './grammar-expressions.ts';
import { showCond } from './print.ts';

export function callOf(
  into: IToken | null,
  verb: IToken,
  operands: readonly Operand[],
  block: readonly Statement[] | null,
): Statement {
  return {
    kind: 'call',
    into: into?.image ?? null,
    verb: verb.image,
    operands,
    block,
    pos: posOf(verb),
  };
}

export function setOf(into: IToken, operands: readonly Operand[]): Statement {
  const [value] = operands;
  if (value === undefined) throw new LitmusError('a value is missing', posOf(into));
  return { kind: 'set', into: into.image, value, pos: posOf(into) };
}

export function makeRule(start: IToken, name: string | null, cond: Cond): Rule {
  const kind = start.image as 'never' | 'always' | 'exists';
  const event = eventOf(cond);
  return {
    kind,
    name: name ?? (event === null ? showCond(cond) : event),
    subject: event === null ? { kind: 'cond', cond } : { kind: 'event', event },
    when: null,
    pos: posOf(start),
  };
}

function eventOf(cond: Cond): Event | null {
  if (cond.kind !== 'truth' || cond.of.kind !== 'word') return null;
  const { name } = cond.of;
  return EVENTS.find((event) => event === name) ?? null;
}

export function checkWith(
  what: IToken,
  patches: readonly string[],
  versions: readonly unknown[],
): void {
  if (what.image === 'patch' && patches.length > 0) return;
  if (what.image === 'profile' && versions.length > 0) return;
  throw new LitmusError(
    `\`with ${what.image}\` is not complete`,
    posOf(what),
    'write `with patch NAME` or `with profile 6.1`',
  );
}

export function checkOutcome(verb: IToken, breaks: readonly string[]): void {
  if (verb.image === 'breaks' && breaks.length > 0) return;
  if (verb.image === 'holds' && breaks.length === 0) return;
  throw new LitmusError(
    `expected a rule, \`breaks "rule"\` or \`holds\`, found \`${verb.image}\``,
    posOf(verb),
    'for example: with patch wp-no-flush breaks "stale data"',
  );
}
