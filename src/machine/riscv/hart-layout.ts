/**
 * Where one hart's state lies in the World's WebAssembly memory. Both engines read and write these words, and
 * translated code addresses them with constant offsets from the hart's base, so the layout is the contract.
 *
 *   +0     x0..x31   32 x i64   (x0 stays zero)
 *   +256   f0..f31   32 x i64   (raw bits; singles are NaN-boxed, RISC-V F 12.2)
 *   +512   pc        i64
 *   +520   fcsr      i32        bits 4:0 fflags NV|DZ|OF|UF|NX (16,8,4,2,1), bits 7:5 frm
 *   +524   trap      i32        cause of the last leave, see trap.ts
 *   +528   trapAddr  i64        faulting virtual address, or the raw instruction for ILLEGAL
 *   +536   resAddr   i64        LR reservation: virtual address, -1 when none
 *   +544   resValue  i64        the value LR saw (SC succeeds iff reservation matches and memory is unchanged)
 *   +552   resSize   i32        4 or 8
 *   +560   instret   i64        instructions retired by this hart, exact
 *   +568   fuel      i64        instructions left in this run(budget)
 *   +1024  TLB       TLB_ENTRIES x 32 bytes, direct-mapped by virtual page number:
 *                      +0  tagR i64   vpn readable here, or -1
 *                      +8  tagW i64   vpn writable here, or -1
 *                      +24 host u32   byte address of the frame in this memory
 *                      +28 pfn  u32   the frame number (kernel's name for it)
 *                    index = vpn & (TLB_ENTRIES - 1), vpn = address >>> 12 (all 52 bits, so no aliasing)
 *   then   fetch TLB  TLB_ENTRIES x 32 bytes with the same index, for fetches alone: an instruction and what it
 *                     accesses may have the same index, and both must fit for it to retire
 *                      +0  tagX i64   vpn executable here, or -1
 *                      +24 host u32, +28 pfn u32 as above
 */
export const HART_X = 0;
export const HART_F = 256;
export const HART_PC = 512;
export const HART_FCSR = 520;
export const HART_TRAP = 524;
export const HART_TRAP_ADDR = 528;
export const HART_RES_ADDR = 536;
export const HART_RES_VALUE = 544;
export const HART_RES_SIZE = 552;
export const HART_INSTRET = 560;
export const HART_FUEL = 568;
export const HART_TLB = 1024;
export const TLB_ENTRY_BYTES = 32;
export const TLB_ENTRIES = 16384;
export const TLB_TAG_R = 0;
export const TLB_TAG_W = 8;
export const TLB_HOST = 24;
export const TLB_PFN = 28;
/** Of the fetch TLB's entry, from where the other TLB's entry with that index lies. */
export const TLB_TAG_X: number = TLB_ENTRIES * TLB_ENTRY_BYTES;
export const TLB_X_HOST: number = TLB_TAG_X + TLB_HOST;
export const TLB_X_PFN: number = TLB_TAG_X + TLB_PFN;
/** Bytes of memory one hart takes. */
export const HART_BYTES: number = HART_TLB + 2 * TLB_ENTRIES * TLB_ENTRY_BYTES;
