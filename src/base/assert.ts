/** Thrown for a bug of Faultline's own, never for anything a user or guest can do. Exit status 70. */
export class FaultlineBug extends Error {
  override readonly name = 'BUG';
}

/**
 * What must hold or our own code is wrong. Always on; the message should name the values.
 * @param message where the check is hot, a function: a template would be put together although nothing is wrong
 */
export function assert(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition)
    throw new FaultlineBug(`BUG: ${typeof message === 'string' ? message : message()}`);
}

/** The value at an index that must exist: `noUncheckedIndexedAccess` without a silent `!`. */
export function at<T>(items: ArrayLike<T>, index: number): T {
  const item = items[index];
  if (item === undefined) throw new FaultlineBug(`BUG: index ${index} of ${items.length}`);
  return item;
}

/** A value that must be there. */
export function must<T>(value: T | null | undefined, what: string): T {
  if (value === null || value === undefined) throw new FaultlineBug(`BUG: missing ${what}`);
  return value;
}

/** Marks a `switch` whose cases are all handled. */
export function unreachable(value: never): never {
  throw new FaultlineBug(`BUG: unreachable value ${String(value)}`);
}
