import type { Insn } from './decode.ts';
import type { HartState } from './hart-state.ts';

/**
 * Executes one instruction: changes registers, memory and `next`, or traps and changes nothing.
 * @returns NO_TRAP or a TRAP_ cause; memory traps have written the trap address
 */
export type Handler = (h: HartState, i: Insn) => number;

/** An operation of ops.ts and what executes it. */
export type HandlerRow = readonly [op: number, handler: Handler];
