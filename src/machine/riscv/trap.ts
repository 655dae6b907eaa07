/**
 * Why a hart left `run`. Values are ours (not the privileged spec's scause), small and dense, because translated
 * code stores them as constants. The hart's pc points at the instruction that trapped (ECALL and EBREAK too), except
 * BUDGET, where it points at the next instruction to execute.
 */
export const TRAP_BUDGET = 0; /** `budget` instructions retired; nothing else happened. */
export const TRAP_ECALL = 1;
export const TRAP_EBREAK = 2;
export const TRAP_ILLEGAL = 3; /** trapAddr holds the raw instruction word. */
export const TRAP_FETCH = 4; /** No executable TLB entry for the page at trapAddr. */
export const TRAP_LOAD = 5; /** No readable TLB entry for the page at trapAddr. */
export const TRAP_STORE = 6; /** No writable TLB entry for the page at trapAddr (stores, SC and AMOs). */
export const TRAP_MISALIGNED = 7; /** LR/SC/AMO whose address is not naturally aligned. */

export type TrapCause = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7;

/** One way to execute riscv64 user code. The kernel knows only this. */
export interface Engine {
  readonly name: string;
  /**
   * Executes until a trap or until exactly `budget` instructions have retired.
   * @param hart byte address of the hart's state in the World's memory (hart-layout.ts)
   * @param budget instructions, a safe integer > 0
   * @param addressSpace identifies the page-table tree, so that translated code is found again (decision 15)
   */
  run(hart: number, budget: number, addressSpace: number): TrapCause;
  /** Forgets translations of the code in this frame: its content changed or it was freed. */
  invalidateFrame(pfn: number): void;
}
