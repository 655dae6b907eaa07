/** The initial stack of a program: strings, auxiliary vector, environment, arguments. getauxval(3); ELF psABI. */
import type { Elf } from './elf.ts';

const AT_NULL = 0;
const AT_PHDR = 3;
const AT_PHENT = 4;
const AT_PHNUM = 5;
const AT_PAGESZ = 6;
const AT_ENTRY = 9;
const AT_UID = 11;
const AT_EUID = 12;
const AT_GID = 13;
const AT_EGID = 14;
const AT_PLATFORM = 15;
const AT_HWCAP = 16;
const AT_CLKTCK = 17;
const AT_SECURE = 23;
const AT_RANDOM = 25;
const AT_EXECFN = 31;
/** One bit for each single-letter extension: I M A F D C. riscv hwcap(3) */
const HWCAP_IMAFDC = 0x112d;
const PHDR_BYTES = 56;

export interface StackRequest {
  readonly top: number;
  readonly elf: Elf;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly uid: number;
  /** 16 bytes for AT_RANDOM. */
  readonly random: Uint8Array;
}

export interface InitialStack {
  /** Initial stack pointer, a multiple of 16, and the bytes from there to the top. */
  readonly sp: number;
  readonly bytes: Uint8Array;
  readonly argStart: number;
  readonly argEnd: number;
  readonly envEnd: number;
}

/** UTF-8 without a TextEncoder, which the core does not have. */
export function utf8(text: string): Uint8Array {
  const escaped = encodeURIComponent(text);
  const bytes: number[] = [];
  for (let i = 0; i < escaped.length; i++) {
    if (escaped[i] === '%') {
      bytes.push(Number.parseInt(escaped.slice(i + 1, i + 3), 16));
      i += 2;
    } else bytes.push(escaped.charCodeAt(i));
  }
  return Uint8Array.from(bytes);
}

export function buildStack(request: StackRequest): InitialStack {
  const { top, elf, args, env } = request;
  const strings = [...args, ...env].map(utf8);
  const stringBytes = strings.reduce((sum, s) => sum + s.length + 1, 0);
  const stringsAt = top - stringBytes - 16;
  const pointers: number[] = [];
  let at = stringsAt;
  for (const s of strings) {
    pointers.push(at);
    at += s.length + 1;
  }
  const argEnd = pointers[args.length] ?? at;
  const platformAt = stringsAt - 16;
  const randomAt = platformAt - 16;
  const auxv: (readonly [number, number])[] = [
    [AT_PHDR, elf.phdrAddress],
    [AT_PHENT, PHDR_BYTES],
    [AT_PHNUM, elf.phdrCount],
    [AT_PAGESZ, 4096],
    [AT_ENTRY, elf.entry],
    [AT_UID, request.uid],
    [AT_EUID, request.uid],
    [AT_GID, request.uid],
    [AT_EGID, request.uid],
    [AT_PLATFORM, platformAt],
    [AT_HWCAP, HWCAP_IMAFDC],
    [AT_CLKTCK, 100],
    [AT_SECURE, 0],
    [AT_RANDOM, randomAt],
    [AT_EXECFN, pointers[0] ?? 0],
    [AT_NULL, 0],
  ];
  const argv = pointers.slice(0, args.length);
  const envp = pointers.slice(args.length);
  const words = [args.length, ...argv, 0, ...envp, 0, ...auxv.flat()];
  const sp = Math.floor((randomAt - words.length * 8) / 16) * 16;
  const bytes = new Uint8Array(top - sp);
  const view = new DataView(bytes.buffer);
  for (const [i, word] of words.entries()) view.setBigUint64(i * 8, BigInt(word), true);
  bytes.set(request.random, randomAt - sp);
  bytes.set(utf8('riscv64\0'), platformAt - sp);
  for (const [i, s] of strings.entries()) bytes.set(s, (pointers[i] ?? 0) - sp);
  return { sp, bytes, argStart: stringsAt, argEnd, envEnd: at };
}
