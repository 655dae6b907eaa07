/** Work of our own that may never come to an end is ended from outside, since nothing else runs beside it. */
import { Script } from 'node:vm';

/** Scripts see only what is global. */
const WORK = 'faultlineWithin';
const CALL = new Script(`${WORK}()`);

/** What `work` returns, or null when it has not returned after so many milliseconds. */
export function within<T>(milliseconds: number, work: () => T): T | null {
  let result: T | null = null;
  const value = (): void => {
    result = work();
  };
  Object.defineProperty(globalThis, WORK, { value, configurable: true });
  try {
    CALL.runInThisContext({ timeout: milliseconds });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    if (error.code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
  } finally {
    Reflect.deleteProperty(globalThis, WORK);
  }
  return result;
}
