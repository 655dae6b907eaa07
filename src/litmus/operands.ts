/** Operands to what a call needs at run time: addresses, lengths, descriptors, values, flags. */
import { errnoValue } from '../uapi/errno.ts';
import type { Index, Operand, Pos } from './ast.ts';
import { didYouMean, LitmusError, nearest } from './error.ts';
import { PAGE, type Region, type Scope, type Strand } from './scope.ts';
import type { RunState } from './state.ts';
import { ADDRESS_MEMBERS, MEMBERS, UNSET, type Value } from './values.ts';

export type Eval<T> = (run: RunState) => T;
/** A stretch of addresses. */
export interface Range {
  readonly start: Eval<number>;
  readonly length: Eval<number>;
}

/** Words that are values of their own. */
const WORDS: ReadonlySet<string> = new Set([
  UNSET,
  'SEGV',
  'BUS',
  'KILL',
  'BLOCKED',
  'none',
  'in',
  'err',
  'short',
]);
/** Flags that a page can have, and poll(2) can report. */
export const PAGE_FLAGS: readonly string[] = [
  'present',
  'swap',
  'guard',
  'wp',
  'once',
  'soft-dirty',
  'none',
  'in',
  'out',
  'err',
  'hup',
];

/** What an operand is worth as a value. @param strand who reads; null for a rule */
export function evalOf(scope: Scope, strand: Strand | null, operand: Operand): Eval<Value> {
  const { plus } = operand;
  switch (operand.kind) {
    case 'number': {
      const value = operand.value + plus;
      return () => value;
    }
    case 'place':
    case 'string':
    case 'flags':
      throw new LitmusError(
        'a number or a register is wanted here',
        operand.pos,
        operand.kind === 'place' ? 'the content of a page is read by: r0 = load A[0]' : '',
      );
    case 'member':
      return memberOf(scope, strand, operand);
    case 'word': {
      const slot = scope.slotToRead(strand, operand.name, operand.pos);
      if (slot !== null) {
        if (plus === 0) return (run) => run.registers[slot];
        return (run) => added(run.registers[slot], plus);
      }
      const { name } = operand;
      if (WORDS.has(name) || errnoValue(name) !== undefined) return () => name;
      throw unknownWord(scope, name, operand.pos);
    }
  }
}

function unknownWord(scope: Scope, name: string, pos: Pos): LitmusError {
  const what = scope.regions.has(name) ? 'is a region, not a value' : 'is no register';
  const near = nearest(name, [...scope.registerNames(), ...WORDS]);
  const hint = scope.regions.has(name)
    ? `a page of it is ${name}[0]`
    : near !== null
      ? `did you mean \`${near}\`?`
      : 'assign it first: r0 = load A[0]';
  return new LitmusError(`${name} ${what}`, pos, hint);
}

function added(value: Value, plus: number): Value {
  return typeof value === 'number' ? value + plus : value;
}

/** `e.page` of a message, or `vcpu.r0` in a rule. */
function memberOf(
  scope: Scope,
  strand: Strand | null,
  operand: Operand & { readonly kind: 'member' },
): Eval<Value> {
  const { base, member, plus, pos } = operand;
  const owner = scope.strandNamed(base);
  if (owner !== undefined && (strand === null || strand.kind === 'finally')) {
    const slot = owner.registers.get(member);
    if (slot === undefined) {
      throw new LitmusError(
        `thread ${base} has no register ${member}`,
        pos,
        didYouMean(member, owner.registers.keys()),
      );
    }
    return (run) => added(run.registers[slot], plus);
  }
  const slot = scope.slotToRead(strand, base, pos);
  if (slot === null) {
    throw new LitmusError(`${base} is no register`, pos, didYouMean(base, scope.registerNames()));
  }
  const get = MEMBERS[member];
  if (get === undefined) {
    throw new LitmusError(
      `a message has no ${member}`,
      pos,
      didYouMean(member, Object.keys(MEMBERS)),
    );
  }
  return (run) => {
    const value = run.registers[slot];
    return typeof value === 'object' ? get(value) + plus : 0;
  };
}

/** Whether an operand can only be an address. */
export function looksLikePlace(scope: Scope, operand: Operand): boolean {
  if (operand.kind === 'place') return true;
  if (operand.kind === 'member') return ADDRESS_MEMBERS.includes(operand.member);
  return operand.kind === 'word' && scope.regions.has(operand.name);
}

/** An operand as a range of addresses: a region, pages of it, the page of a message, or a number. */
export function rangeOf(scope: Scope, strand: Strand | null, operand: Operand): Range {
  const { plus } = operand;
  if (operand.kind === 'place') return placeRange(scope, strand, operand);
  if (operand.kind === 'word') {
    const region = scope.regions.get(operand.name);
    if (region !== undefined) {
      return { start: () => region.start + plus, length: () => region.pages * PAGE };
    }
    if (scope.slotToRead(strand, operand.name, operand.pos) === null) {
      throw new LitmusError(
        `${operand.name} is neither a region nor a register`,
        operand.pos,
        didYouMean(
          operand.name,
          [...scope.regions.keys(), ...scope.registerNames()],
          'a region is made by: map A 1 page anon rw private',
        ),
      );
    }
  }
  const value = evalOf(scope, strand, operand);
  return {
    start: (run) => {
      const start = value(run);
      return typeof start === 'number' ? start : 0;
    },
    length: () => PAGE,
  };
}

function placeRange(
  scope: Scope,
  strand: Strand | null,
  operand: Operand & { readonly kind: 'place' },
): Range {
  const { first, last, plus, pos } = operand;
  const region = scope.region(operand.region, pos);
  const from = indexOf(scope, strand, region, first, pos);
  const to = last === null ? from : indexOf(scope, strand, region, last, pos);
  if (typeof first === 'number' && typeof last === 'number' && last < first) {
    throw new LitmusError(
      `${operand.region}[${first}..${last}] ends before it begins`,
      pos,
      'both ends belong to it',
    );
  }
  return {
    start: (run) => region.start + from(run) * PAGE + plus,
    length: (run) => (to(run) - from(run) + 1) * PAGE,
  };
}

function indexOf(
  scope: Scope,
  strand: Strand | null,
  region: Region,
  index: Index,
  pos: Pos,
): Eval<number> {
  if (typeof index === 'number') {
    if (index >= region.pages) {
      const pages = region.pages === 1 ? '1 page' : `${region.pages} pages`;
      throw new LitmusError(
        `${region.name} has ${pages}, there is no ${region.name}[${index}]`,
        pos,
        `the last one is ${region.name}[${region.pages - 1}]`,
      );
    }
    return () => index;
  }
  const slot = scope.slotToRead(strand, index, pos);
  if (slot === null) {
    throw new LitmusError(`${index} is no register`, pos, didYouMean(index, scope.registerNames()));
  }
  return (run) => {
    const value = run.registers[slot];
    return typeof value === 'number' ? value : 0;
  };
}

/** An operand as a file descriptor: a name from `uffd`, a register, or a number. */
export function fdOf(scope: Scope, strand: Strand | null, operand: Operand): Eval<number> {
  if (operand.kind === 'word') {
    const slot = scope.files.get(operand.name);
    if (slot !== undefined) return (run) => run.fds[slot] ?? -1;
    if (scope.slotToRead(strand, operand.name, operand.pos) === null) {
      throw new LitmusError(
        `no file is called ${operand.name}`,
        operand.pos,
        didYouMean(operand.name, scope.files.keys(), 'a userfaultfd is opened by: uffd U'),
      );
    }
  }
  const value = evalOf(scope, strand, operand);
  return (run) => {
    const fd = value(run);
    return typeof fd === 'number' ? fd : -1;
  };
}

/** Flag names to bits: as user space spells them, or without their prefix. */
export function flagsOf(
  names: Readonly<Record<string, number>>,
  operand: Operand,
  what: string,
): number {
  if (operand.kind === 'number') return operand.value;
  if (operand.kind !== 'word' && operand.kind !== 'flags') {
    throw new LitmusError(
      `flags are wanted for ${what}`,
      operand.pos,
      Object.keys(names).join(' '),
    );
  }
  const list = operand.kind === 'word' ? [operand.name] : operand.names;
  let bits = 0;
  for (const name of list) bits |= flagNamed(names, name, operand.pos, what);
  return bits;
}

function flagNamed(
  names: Readonly<Record<string, number>>,
  name: string,
  pos: Pos,
  what: string,
): number {
  const exact = names[name];
  if (exact !== undefined) return exact;
  const short = Object.entries(names).filter(([full]) => full.endsWith(`_${name}`));
  short.sort(([a], [b]) => a.length - b.length);
  const [first] = short;
  if (first !== undefined) return first[1];
  if (Object.hasOwn(names, 'PROT_READ')) {
    const prot = protLetters(name);
    if (prot !== null) return prot;
  }
  const all = Object.keys(names).flatMap((full) => [full, full.slice(full.indexOf('_') + 1)]);
  throw new LitmusError(
    `${what} knows no flag ${name}`,
    pos,
    didYouMean(name, all, `there is: ${Object.keys(names).join(', ')}`),
  );
}

/** `rw`, `r`, `none`, `rwx` to PROT_* bits, or null. */
export function protLetters(name: string): number | null {
  if (name === 'none') return 0;
  if (!/^r?w?x?$/.test(name) || name === '') return null;
  let bits = 0;
  if (name.includes('r')) bits |= 1;
  if (name.includes('w')) bits |= 2;
  if (name.includes('x')) bits |= 4;
  return bits;
}
