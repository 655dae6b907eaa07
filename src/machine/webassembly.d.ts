/**
 * The part of the WebAssembly JavaScript API that `src` uses. TypeScript declares it only together with the DOM, and
 * `src` sees neither the DOM nor Node (design.md, Layers); this is the one ambient declaration.
 * Source: WebAssembly JavaScript Interface, W3C, §5.
 */
declare namespace WebAssembly {
  interface MemoryDescriptor {
    /** In pages of 64 KiB. */
    readonly initial: number;
    readonly maximum?: number;
  }

  class Memory {
    constructor(descriptor: MemoryDescriptor);
    readonly buffer: ArrayBuffer;
    grow(delta: number): number;
  }

  class Module {
    constructor(bytes: Uint8Array);
  }

  type ExportValue = ((...args: number[]) => number) | Memory | Table;

  class Instance {
    constructor(
      module: Module,
      imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
    );
    readonly exports: Readonly<Record<string, ExportValue>>;
  }

  interface TableDescriptor {
    readonly element: 'anyfunc';
    readonly initial: number;
    readonly maximum?: number;
  }

  class Table {
    constructor(descriptor: TableDescriptor);
    readonly length: number;
    get(index: number): ((...args: number[]) => number) | null;
    set(index: number, value: ((...args: number[]) => number) | null): void;
    grow(delta: number): number;
  }
}
