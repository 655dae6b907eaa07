// Runs in a module Worker of the browser (bundled by package.test.ts against the packed tarball): loads the library's
// entry as a user's worker does, and says what it found there and that neither Node nor a page was around.
import * as faultline from 'faultline';

postMessage({
  exports: Object.keys(faultline).sort(),
  node: typeof globalThis.process,
  document: typeof globalThis.document,
});
