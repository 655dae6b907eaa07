/**
 * Static riscv64 ELF executables: the header and the program headers, which is all that loading needs.
 * ELF-64 Object File Format 1.5; RISC-V ELF psABI, chapter 3. Every refusal is one sentence for the person who asked.
 */

export interface Segment {
  readonly vaddr: number;
  readonly memorySize: number;
  /** Bytes of the file that it begins with, and where they lie there. */
  readonly fileSize: number;
  readonly fileOffset: number;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly executable: boolean;
}

export interface Elf {
  readonly entry: number;
  readonly segments: readonly Segment[];
  /** Where the program headers lie in memory, for AT_PHDR; 0 when no segment holds them. */
  readonly phdrAddress: number;
  readonly phdrCount: number;
}

const EHDR_BYTES = 64;
const PHDR_BYTES = 56;
const PAGE = 4096;
const ET_EXEC = 2;
const ET_DYN = 3;
const EM_RISCV = 243;
const PT_LOAD = 1;
const PT_INTERP = 3;
const PF_X = 1;
const PF_W = 2;
const PF_R = 4;
const USER_END = 0x7fff_0000_0000;

/** Machines people are likely to hand us by mistake. */
const MACHINES: Readonly<Record<number, string>> = {
  3: 'i386',
  40: 'ARM',
  62: 'x86-64',
  183: 'arm64',
};

/** @returns the program, or a sentence that says why it cannot be run */
export function parseElf(bytes: Uint8Array): Elf | string {
  if (
    bytes.length < 4 ||
    bytes[0] !== 0x7f ||
    bytes[1] !== 0x45 ||
    bytes[2] !== 0x4c ||
    bytes[3] !== 0x46
  ) {
    return 'not an ELF file; give a static riscv64 Linux executable';
  }
  if (bytes.length < EHDR_BYTES) return 'truncated: the ELF header is cut off';
  if (bytes[4] !== 2 || bytes[5] !== 1)
    return 'not a 64-bit little-endian ELF; build it for riscv64';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const machine = view.getUint16(18, true);
  if (machine !== EM_RISCV) {
    const name = MACHINES[machine] ?? `machine ${machine}`;
    return `built for ${name}, not riscv64; compile it with riscv64-linux-gnu-gcc -static`;
  }
  const type = view.getUint16(16, true);
  if (type !== ET_EXEC && type !== ET_DYN)
    return 'not an executable (an object file or a core dump)';
  return parseSegments(bytes, view);
}

function parseSegments(bytes: Uint8Array, view: DataView): Elf | string {
  const offset = Number(view.getBigUint64(32, true));
  const count = view.getUint16(56, true);
  if (view.getUint16(54, true) !== PHDR_BYTES || count === 0)
    return 'malformed: no program headers';
  if (offset + count * PHDR_BYTES > bytes.length)
    return 'truncated: the program headers are cut off';
  const segments: Segment[] = [];
  let phdrAddress = 0;
  for (let i = 0; i < count; i++) {
    const at = offset + i * PHDR_BYTES;
    const kind = view.getUint32(at, true);
    if (kind === PT_INTERP) return 'dynamically linked; link it with -static';
    if (kind !== PT_LOAD) continue;
    const segment = parseLoad(bytes, view, at);
    if (typeof segment === 'string') return segment;
    segments.push(segment);
    const fileOffset = Number(view.getBigUint64(at + 8, true));
    if (offset >= fileOffset && offset + count * PHDR_BYTES <= fileOffset + segment.fileSize) {
      phdrAddress = segment.vaddr + offset - fileOffset;
    }
  }
  if (segments.length === 0) return 'malformed: nothing to load';
  if (view.getUint16(16, true) === ET_DYN) {
    return 'position-independent; link it with -static -no-pie';
  }
  return { entry: Number(view.getBigUint64(24, true)), segments, phdrAddress, phdrCount: count };
}

function parseLoad(bytes: Uint8Array, view: DataView, at: number): Segment | string {
  const flags = view.getUint32(at + 4, true);
  const fileOffset = Number(view.getBigUint64(at + 8, true));
  const vaddr = Number(view.getBigUint64(at + 16, true));
  const fileSize = Number(view.getBigUint64(at + 32, true));
  const memorySize = Number(view.getBigUint64(at + 40, true));
  if (fileOffset + fileSize > bytes.length) return 'truncated: a segment is cut off';
  if (memorySize < fileSize || vaddr + memorySize > USER_END)
    return 'malformed: a segment is out of range';
  if (vaddr % PAGE !== fileOffset % PAGE) return 'malformed: a segment is not aligned to pages';
  return {
    vaddr,
    memorySize,
    fileSize,
    fileOffset,
    readable: (flags & PF_R) !== 0,
    writable: (flags & PF_W) !== 0,
    executable: (flags & PF_X) !== 0,
  };
}
