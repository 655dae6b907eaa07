/** The AST as text again: labels of diagrams, names of rules without one, and `.flt` from a builder. */
import type {
  Cond,
  Expectation,
  Index,
  LitmusTest,
  Operand,
  Rule,
  Statement,
  ThreadDecl,
  When,
} from './ast.ts';

export function showOperand(operand: Operand): string {
  return core(operand) + showPlus(operand.plus);
}

function core(operand: Operand): string {
  switch (operand.kind) {
    case 'number':
      return String(operand.value);
    case 'word':
      return operand.name;
    case 'member':
      return `${operand.base}.${operand.member}`;
    case 'place':
      return `${operand.region}[${showRange(operand.first, operand.last)}]`;
    case 'flags':
      return operand.names.join('|');
    case 'string':
      return JSON.stringify(operand.value);
  }
}

function showRange(first: Index, last: Index | null): string {
  return last === null ? String(first) : `${first}..${last}`;
}

function showPlus(plus: number): string {
  return plus === 0 ? '' : plus > 0 ? `+${plus}` : `-${-plus}`;
}

export function showCond(cond: Cond): string {
  switch (cond.kind) {
    case 'or':
      return `${showCond(cond.left)} or ${showCond(cond.right)}`;
    case 'and':
      return `${inner(cond.left)} and ${inner(cond.right)}`;
    case 'not':
      return `not ${inner(cond.of)}`;
    case 'compare':
      return `${showOperand(cond.left)} ${cond.op} ${showOperand(cond.right)}`;
    case 'has':
      return `${showOperand(cond.left)} has ${cond.flag}`;
    case 'truth':
      return showOperand(cond.of);
  }
}

function inner(cond: Cond): string {
  return cond.kind === 'or' || cond.kind === 'and' ? `(${showCond(cond)})` : showCond(cond);
}

/** One line; blocks as `{ … }`. */
export function showStatement(statement: Statement): string {
  switch (statement.kind) {
    case 'call': {
      const into = statement.into === null ? '' : `${statement.into} = `;
      const words = [statement.verb, ...statement.operands.map(showOperand)].join(' ');
      return into + words + (statement.block === null ? '' : ` ${showBlock(statement.block)}`);
    }
    case 'set':
      return `${statement.into} = ${showOperand(statement.value)}`;
    case 'on': {
      const text = `on ${showCond(statement.cond)} ${showBlock(statement.body)}`;
      return statement.otherwise.length === 0
        ? text
        : `${text} else ${showBlock(statement.otherwise)}`;
    }
    case 'loop':
      return `loop ${statement.times === null ? '' : `${statement.times} `}${showBlock(statement.body)}`;
    case 'break':
      return 'break';
  }
}

export function showBlock(body: readonly Statement[]): string {
  return body.length === 0 ? '{ }' : `{ ${body.map(showStatement).join(' ; ')} }`;
}

/** A whole test as a `.flt` file that parses to the same. */
export function showTest(test: LitmusTest): string {
  const lines = [`litmus ${test.name}`];
  if (test.title !== '') lines.push(`"${test.title}"`);
  lines.push('');
  for (const { key, value } of test.geometry) lines.push(`geometry ${key} ${value}`);
  for (const s of test.setup) lines.push(within(s.process, showStatement(s)));
  lines.push('');
  for (const thread of test.threads) lines.push(within(thread.process, showThread(thread)));
  if (test.finally.length > 0) lines.push(`finally ${showBlock(test.finally)}`);
  lines.push('', ...test.rules.map(showRule), ...test.expectations.map(showExpectation));
  return `${lines.join('\n')}\n`;
}

function within(process: string | undefined, text: string): string {
  return process === undefined ? text : `process ${process} { ${text} }`;
}

function showThread(thread: ThreadDecl): string {
  return `${thread.daemon ? 'daemon ' : ''}thread ${thread.name} ${showBlock(thread.body)}`;
}

export function showRule(rule: Rule): string {
  const when = rule.when === null ? '' : `${showWhen(rule.when)} `;
  const { subject } = rule;
  switch (subject.kind) {
    case 'promise':
      return `${when}promise ${subject.promise}`;
    case 'event':
      return `${when}${rule.kind} ${named(rule, subject.event)}${subject.event}`;
    case 'cond': {
      const text = showCond(subject.cond);
      return `${when}${rule.kind} ${named(rule, text)}${text}`;
    }
  }
}

function named(rule: Rule, otherwise: string): string {
  return rule.name === otherwise ? '' : `"${rule.name}": `;
}

export function showExpectation(expectation: Expectation): string {
  const names = expectation.breaks.map((name) => `"${name}"`).join(', ');
  const outcome = names === '' ? 'holds' : `breaks ${names}`;
  return `${showWhen(expectation.when)} ${outcome}`;
}

export function showWhen(when: When): string {
  const parts: string[] = [];
  if (when.versions.length > 0) {
    const list = when.versions.map(({ op, version }) =>
      op === '==' ? version : `${op} ${version}`,
    );
    parts.push(`on ${list.join(', ')}`);
  }
  if (when.patches.length > 0) parts.push(`with patch ${when.patches.join(', ')}`);
  return parts.join(' ');
}
