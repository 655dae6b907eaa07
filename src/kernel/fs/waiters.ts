import type { PollSource } from './file.ts';

/** Callbacks to make when a file's readiness may have changed: sleepers in read and write, and pollers. */
export class Waiters implements PollSource {
  private readonly wakes = new Set<() => void>();

  subscribe(wake: () => void): () => void {
    this.wakes.add(wake);
    return () => {
      this.wakes.delete(wake);
    };
  }

  wakeAll(): void {
    for (const wake of [...this.wakes]) wake();
  }
}
