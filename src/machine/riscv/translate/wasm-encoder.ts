import * as w from './wasm-opcodes.ts';

/**
 * Writes the binary format of WebAssembly (Core Specification 2.0, §5), as much of it as translated code needs. Equal
 * calls give equal bytes, so that the host may recognize a module it has compiled before (engine.md §1).
 */
export class Bytes {
  #buffer: Uint8Array = new Uint8Array(1024);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** The bytes so far, valid until the next write. */
  view(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  u8(byte: number): void {
    if (this.#length === this.#buffer.length) this.#grow(this.#length + 1);
    this.#buffer[this.#length++] = byte;
  }

  bytes(source: Uint8Array): void {
    if (this.#length + source.length > this.#buffer.length) {
      this.#grow(this.#length + source.length);
    }
    this.#buffer.set(source, this.#length);
    this.#length += source.length;
  }

  /** Unsigned LEB128 of a 32-bit value. */
  u32(value: number): void {
    let rest = value >>> 0;
    while (rest >= 0x80) {
      this.u8((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.u8(rest);
  }

  /** Signed LEB128 of a safe integer (the same bytes for i32 and i64). */
  signed(value: number): void {
    let rest = value;
    for (;;) {
      const high = Math.floor(rest / 128);
      const low = rest - high * 128;
      if ((high === 0 && low < 0x40) || (high === -1 && low >= 0x40)) {
        this.u8(low);
        return;
      }
      this.u8(low | 0x80);
      rest = high;
    }
  }

  name(text: string): void {
    this.u32(text.length);
    for (let i = 0; i < text.length; i++) this.u8(text.charCodeAt(i));
  }

  #grow(needed: number): void {
    const larger = new Uint8Array(Math.max(needed, this.#buffer.length * 2));
    larger.set(this.#buffer);
    this.#buffer = larger;
  }
}

/** Names a block, loop or if that is open: its nesting depth. */
export type Label = number;

/** The instructions of one function. Branches name labels; the relative depth is computed here. */
export class Code extends Bytes {
  #depth = 0;

  op(opcode: number): void {
    this.u8(opcode);
  }

  /** Opens a structured instruction (block, loop or if). */
  open(opcode: number, type: number): Label {
    this.u8(opcode);
    this.u8(type);
    return ++this.#depth;
  }

  end(): void {
    this.u8(w.W_END);
    this.#depth--;
  }

  br(label: Label): void {
    this.u8(w.W_BR);
    this.u32(this.#depth - label);
  }

  brIf(label: Label): void {
    this.u8(w.W_BR_IF);
    this.u32(this.#depth - label);
  }

  brTable(labels: readonly Label[], otherwise: Label): void {
    this.u8(w.W_BR_TABLE);
    this.u32(labels.length);
    for (const label of labels) this.u32(this.#depth - label);
    this.u32(this.#depth - otherwise);
  }

  get(local: number): void {
    this.u8(w.W_LOCAL_GET);
    this.u32(local);
  }

  set(local: number): void {
    this.u8(w.W_LOCAL_SET);
    this.u32(local);
  }

  tee(local: number): void {
    this.u8(w.W_LOCAL_TEE);
    this.u32(local);
  }

  i32(value: number): void {
    this.u8(w.W_I32_CONST);
    this.signed(value | 0);
  }

  /** @param value a safe integer */
  i64(value: number): void {
    this.u8(w.W_I64_CONST);
    this.signed(value);
  }

  /** A load or store at `address + offset`, without an alignment promise: guest addresses may have any. */
  memory(opcode: number, offset: number): void {
    this.u8(opcode);
    this.u8(0);
    this.u32(offset);
  }

  call(index: number): void {
    this.u8(w.W_CALL);
    this.u32(index);
  }

  returnCallIndirect(type: number): void {
    this.u8(w.W_RETURN_CALL_INDIRECT);
    this.u32(type);
    this.u8(0);
  }
}

/** The type of a unit, (hart, entry) -> why it left, and of the imported step, (hart, instruction) -> trapped. */
export const TYPE_UNIT = 0;
/** The imported step's function index; the units follow. */
export const IMPORT_STEP = 0;

/** One function's body: locals beyond the parameters, as runs of (count, type), and its code without the final end. */
export interface FunctionBody {
  readonly locals: readonly (readonly [count: number, type: number])[];
  readonly code: Code;
}

/**
 * A module of units. It imports `env.memory`, `env.table` and `env.step`, and exports the units as `0`, `1`, ….
 * @returns the module's bytes, a copy
 */
export function encodeModule(functions: readonly FunctionBody[]): Uint8Array {
  const out = new Bytes();
  out.bytes(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
  section(out, 1, types);
  section(out, 2, imports);
  section(out, 3, (to) => {
    to.u32(functions.length);
    for (let i = 0; i < functions.length; i++) to.u32(TYPE_UNIT);
  });
  section(out, 7, (to) => {
    to.u32(functions.length);
    for (let i = 0; i < functions.length; i++) {
      to.name(String(i));
      to.u8(0);
      to.u32(IMPORT_STEP + 1 + i);
    }
  });
  section(out, 10, (to) => {
    to.u32(functions.length);
    for (const body of functions) functionBody(to, body);
  });
  return out.view().slice();
}

function section(out: Bytes, id: number, write: (to: Bytes) => void): void {
  const content = new Bytes();
  write(content);
  out.u8(id);
  out.u32(content.length);
  out.bytes(content.view());
}

function types(to: Bytes): void {
  to.u32(1);
  to.bytes(Uint8Array.of(0x60, 2, w.T_I32, w.T_I32, 1, w.T_I32));
}

function imports(to: Bytes): void {
  to.u32(3);
  to.name('env');
  to.name('step');
  to.bytes(Uint8Array.of(0, TYPE_UNIT));
  to.name('env');
  to.name('memory');
  to.bytes(Uint8Array.of(2, 0, 1));
  to.name('env');
  to.name('table');
  to.bytes(Uint8Array.of(1, 0x70, 0, 1));
}

function functionBody(to: Bytes, body: FunctionBody): void {
  const content = new Bytes();
  content.u32(body.locals.length);
  for (const [count, type] of body.locals) {
    content.u32(count);
    content.u8(type);
  }
  content.bytes(body.code.view());
  content.u8(w.W_END);
  to.u32(content.length);
  to.bytes(content.view());
}
