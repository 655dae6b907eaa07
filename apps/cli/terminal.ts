/** Standard streams of this process as a guest's console: bytes as they are, in both directions. */
import { writeSync } from 'node:fs';
import type { Console } from '../../src/kernel/fs/console.ts';

const RETRY_MS = 1;

export class Terminal implements Console {
  readonly #chunks: Uint8Array[] = [];
  #ended = false;
  #wanted = false;
  #listening = false;
  #arrived: (() => void) | null = null;

  /** Whether the guest cannot go on before there is input. */
  get isWaiting(): boolean {
    return this.#wanted && !this.#ended && this.#chunks.length === 0;
  }

  /** Resolves when there is input or its end. */
  input(): Promise<void> {
    return new Promise((resolve) => {
      this.#arrived = resolve;
      if (!this.#listening) this.#listen();
      process.stdin.resume();
    });
  }

  write(stream: 1 | 2, bytes: Uint8Array): boolean {
    for (let done = 0; done < bytes.length; ) {
      try {
        done += writeSync(stream, bytes, done);
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        if (code === 'EPIPE') return false;
        if (code !== 'EAGAIN') throw error;
        // The other end is slow and the stream does not block: look again.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
      }
    }
    return true;
  }

  wantInput(): void {
    this.#wanted = true;
  }

  read(count: number): Uint8Array {
    this.#wanted = false;
    const chunk = this.#chunks[0] ?? new Uint8Array(0);
    if (chunk.length > count) this.#chunks[0] = chunk.subarray(count);
    else this.#chunks.shift();
    return chunk.subarray(0, count);
  }

  #listen(): void {
    this.#listening = true;
    const end = (): void => {
      this.#ended = true;
      this.#arrived?.();
    };
    process.stdin.on('data', (chunk: Uint8Array) => {
      this.#chunks.push(chunk);
      process.stdin.pause();
      this.#arrived?.();
    });
    process.stdin.on('end', end);
    process.stdin.on('error', end);
    process.stdin.on('close', end);
  }
}
