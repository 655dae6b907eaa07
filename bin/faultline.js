#!/usr/bin/env node
// Committed shim: npm links a `bin` at install time, before anything is built, so it must exist in the checkout.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = new URL('../dist/apps/cli/main.js', import.meta.url);
if (existsSync(fileURLToPath(main))) {
  await import(main.href);
} else {
  process.stderr.write('faultline: not built yet; run `npm run build` once in the checkout.\n');
  process.exit(2);
}
