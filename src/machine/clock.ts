/** The virtual clock. It moves with instructions and steps, and jumps to the next timer when everybody sleeps. */

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly fire: () => void;
}

export class Clock {
  /** Nanoseconds since boot. */
  now = 0;
  private timers: Timer[] = [];
  private order = 0;

  /** Moves time on and fires what has become due, in order. @param ns nanoseconds */
  advance(ns: number): void {
    this.now += ns;
    this.#fireDue();
  }

  /** Calls `fire` at a time (ns since boot). Returns a function that cancels it. */
  at(when: number, fire: () => void): () => void {
    const timer: Timer = { at: when, order: this.order++, fire };
    this.timers.push(timer);
    this.timers.sort((a, b) => a.at - b.at || a.order - b.order);
    return () => {
      this.timers = this.timers.filter((t) => t !== timer);
    };
  }

  /** Jumps to the next timer and fires it; false when there is none. */
  jump(): boolean {
    const next = this.timers[0];
    if (next === undefined) return false;
    this.now = Math.max(this.now, next.at);
    this.#fireDue();
    return true;
  }

  #fireDue(): void {
    for (;;) {
      const next = this.timers[0];
      if (next === undefined || next.at > this.now) return;
      this.timers.shift();
      next.fire();
    }
  }
}
