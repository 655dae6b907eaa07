/**
 * Writes the generated pages of `docs/`: `npm run docs`; with `--check` it writes nothing and fails when one is stale.
 *
 * Each file of `scripts/docs/` is one generator (see page.ts there); adding a page is adding a file. They are compiled
 * with the rest by `npm run build`, since Node 20 runs no TypeScript.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Generator, Page } from './docs/page.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const stale: string[] = [];
const checking = process.argv.includes('--check');

for (const page of await allPages()) {
  const file = join(root, page.path);
  if (existsSync(file) && readFileSync(file, 'utf8') === page.text) continue;
  stale.push(page.path);
  if (checking) continue;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, page.text);
}
report();

async function allPages(): Promise<Page[]> {
  const pages: Page[] = [];
  const names = readdirSync(join(root, 'scripts/docs')).filter((name) =>
    /(?<!\.test)\.ts$/.test(name),
  );
  for (const name of names.sort()) {
    const url = new URL(`docs/${name.replace(/\.ts$/, '.js')}`, import.meta.url);
    const generator: Partial<Generator> = await import(url.href);
    if (generator.pages) pages.push(...(await generator.pages(root)));
  }
  return pages;
}

function report(): void {
  if (!checking) {
    for (const path of stale) process.stdout.write(`wrote ${path}\n`);
    if (stale.length === 0) process.stdout.write('every generated page is up to date\n');
  } else if (stale.length > 0) {
    process.stderr.write(`stale: ${stale.join(', ')}\nrun: npm run docs\n`);
    process.exitCode = 1;
  }
}
