/**
 * The one internal form of a litmus test: what the parser makes of a `.flt` file and what the builder makes of
 * TypeScript. It says nothing of the kernel; elaborate.ts gives it meaning.
 */

/** Where something stands in its file; lines and columns count from 1. Builders give line 0. */
export interface Pos {
  readonly line: number;
  readonly column: number;
}

/** A page number within a region, or the register that holds it. */
export type Index = number | string;

/** An argument of a call. `plus` is added to it, in bytes for places and addresses. */
export type Operand = (
  | { readonly kind: 'number'; readonly value: number }
  /** A register, region, file name or flag: what it is follows from where it stands. */
  | { readonly kind: 'word'; readonly name: string }
  /** `e.page`, `vcpu.r0`. */
  | { readonly kind: 'member'; readonly base: string; readonly member: string }
  /** `A[0]`, `A[0..2]` (both ends belong to it). */
  | {
      readonly kind: 'place';
      readonly region: string;
      readonly first: Index;
      readonly last: Index | null;
    }
  /** `READ|WRITE`. */
  | { readonly kind: 'flags'; readonly names: readonly string[] }
  | { readonly kind: 'string'; readonly value: string }
) & { readonly pos: Pos; readonly plus: number };

export type Comparison = '==' | '!=' | '<' | '<=' | '>' | '>=';

export type Cond =
  | { readonly kind: 'or' | 'and'; readonly left: Cond; readonly right: Cond }
  | { readonly kind: 'not'; readonly of: Cond }
  | {
      readonly kind: 'compare';
      readonly op: Comparison;
      readonly left: Operand;
      readonly right: Operand;
    }
  /** `p has wp`, `A[0] has present`. */
  | { readonly kind: 'has'; readonly left: Operand; readonly flag: string; readonly pos: Pos }
  /** A message kind (`e.missing`) or a register that is neither 0 nor an error. */
  | { readonly kind: 'truth'; readonly of: Operand };

export type Statement =
  | {
      readonly kind: 'call';
      /** The register its result goes to. */
      readonly into: string | null;
      readonly verb: string;
      readonly operands: readonly Operand[];
      /** What a forked child does. */
      readonly block: readonly Statement[] | null;
      readonly pos: Pos;
    }
  | { readonly kind: 'set'; readonly into: string; readonly value: Operand; readonly pos: Pos }
  | {
      readonly kind: 'on';
      readonly cond: Cond;
      readonly body: readonly Statement[];
      readonly otherwise: readonly Statement[];
      readonly pos: Pos;
    }
  | {
      readonly kind: 'loop';
      /** Null: for ever. */
      readonly times: number | null;
      readonly body: readonly Statement[];
      readonly pos: Pos;
    }
  | { readonly kind: 'break'; readonly pos: Pos };

/** A statement of set-up. `process`: whose it is; absent: the main process's. */
export type SetupStatement = Statement & { readonly process?: string };

export interface ThreadDecl {
  readonly name: string;
  /** Absent: a thread of the main process. */
  readonly process?: string;
  readonly daemon: boolean;
  readonly body: readonly Statement[];
  readonly pos: Pos;
}

/** When a rule or an expectation counts: all parts must hold; empty parts always do. */
export interface When {
  /** `on < 6.4`: a kernel version compared. */
  readonly versions: readonly { readonly op: Comparison; readonly version: string }[];
  /** `with patch P, Q`: exactly these patches are in. */
  readonly patches: readonly string[];
  readonly pos: Pos;
}

/** What a rule without an expression speaks of. */
export type Event = 'hang' | 'lost-wake' | 'livelock' | 'leak';
export const EVENTS: readonly Event[] = ['hang', 'lost-wake', 'livelock', 'leak'];

export interface Rule {
  readonly kind: 'never' | 'always' | 'exists' | 'promise';
  /** As reports name it: what stands in quotes, or the expression itself. */
  readonly name: string;
  readonly subject:
    | { readonly kind: 'cond'; readonly cond: Cond }
    | { readonly kind: 'event'; readonly event: Event }
    | { readonly kind: 'promise'; readonly promise: string };
  /** Null: always. */
  readonly when: When | null;
  readonly pos: Pos;
}

/** `with patch P breaks "rule", "other"`, `on < 6.4 breaks "rule"`, `with patch P holds`. */
export interface Expectation {
  readonly when: When;
  /** The rules that are expected to break, and no others; empty: none does. */
  readonly breaks: readonly string[];
  readonly pos: Pos;
}

export interface GeometryDecl {
  readonly key: string;
  readonly value: number;
  readonly pos: Pos;
}

export interface LitmusTest {
  readonly name: string;
  /** The sentence under the name; may be empty. */
  readonly title: string;
  readonly geometry: readonly GeometryDecl[];
  readonly setup: readonly SetupStatement[];
  readonly threads: readonly ThreadDecl[];
  readonly finally: readonly Statement[];
  readonly rules: readonly Rule[];
  readonly expectations: readonly Expectation[];
}

export const NOWHERE: Pos = { line: 0, column: 0 };
