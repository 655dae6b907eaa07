/** Conditions of `on` and of rules: pure looks at registers, and in rules also at pages. */
import type { Cond, Operand } from './ast.ts';
import { didYouMean, LitmusError } from './error.ts';
import { type Eval, evalOf, PAGE_FLAGS, rangeOf } from './operands.ts';
import { pageFlagsAt, pageWord } from './page-state.ts';
import type { Scope, Strand } from './scope.ts';
import { compare, hasFlag, truth, type Value } from './values.ts';

/** @param strand whose registers it sees; null for a rule, which sees all and pages too */
export function compileCond(scope: Scope, strand: Strand | null, cond: Cond): Eval<boolean> {
  switch (cond.kind) {
    case 'or': {
      const left = compileCond(scope, strand, cond.left);
      const right = compileCond(scope, strand, cond.right);
      return (run) => left(run) || right(run);
    }
    case 'and': {
      const left = compileCond(scope, strand, cond.left);
      const right = compileCond(scope, strand, cond.right);
      return (run) => left(run) && right(run);
    }
    case 'not': {
      const of = compileCond(scope, strand, cond.of);
      return (run) => !of(run);
    }
    case 'truth': {
      const of = sideOf(scope, strand, cond.of);
      return (run) => truth(of(run));
    }
    case 'compare': {
      const left = sideOf(scope, strand, cond.left);
      const right = sideOf(scope, strand, cond.right);
      const { op } = cond;
      return (run) => compare(op, left(run), right(run));
    }
    case 'has': {
      if (!PAGE_FLAGS.includes(cond.flag) && !/^p\d+$/.test(cond.flag)) {
        throw new LitmusError(
          `no page flag is called ${cond.flag}`,
          cond.pos,
          didYouMean(cond.flag, PAGE_FLAGS),
        );
      }
      const { flag } = cond;
      const left = flagsSide(scope, strand, cond.left);
      return (run) => hasFlag(left(run), flag);
    }
  }
}

/** A page in a rule is worth the word it begins with, or `none`. */
function sideOf(scope: Scope, strand: Strand | null, operand: Operand): Eval<Value> {
  if (operand.kind === 'place' && strand === null) {
    const { start } = rangeOf(scope, strand, operand);
    const { process } = scope.region(operand.region, operand.pos);
    return (run) => {
      const { mm } = run.taskOf(process);
      return mm === null ? 'none' : (pageWord(mm, start(run)) ?? 'none');
    };
  }
  return evalOf(scope, strand, operand);
}

function flagsSide(scope: Scope, strand: Strand | null, operand: Operand): Eval<Value> {
  if (operand.kind === 'place' && strand === null) {
    const { start } = rangeOf(scope, strand, operand);
    const { process } = scope.region(operand.region, operand.pos);
    return (run) => {
      const { mm } = run.taskOf(process);
      return mm === null ? 'none' : pageFlagsAt(mm, start(run));
    };
  }
  return evalOf(scope, strand, operand);
}
