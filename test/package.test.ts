// Goal: what `npm publish` would send works for those who install it: in Node, in TypeScript, in a browser worker.
// Needs `npm run build` before (`npm test` does it). Nothing here uses the network.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findChromium, NEEDS_CHROMIUM, reportOfPage } from './browser/chromium.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const temp = mkdtempSync(join(tmpdir(), 'faultline-pack-'));
/** A project that has installed the tarball: `node_modules/faultline`, and its dependencies beside. */
const user = join(temp, 'user');
const installed = join(user, 'node_modules/faultline');

let tarball = '';
let packed: string[] = [];

beforeAll(() => {
  const built = existsSync(join(root, 'dist/src/index.js'));
  expect(built, 'dist/src/index.js is missing; run: npm run build').toBe(true);
  const args = ['pack', '--json', '--ignore-scripts', '--offline', '--pack-destination', temp];
  const output = execFileSync('npm', args, { cwd: root, encoding: 'utf8', stdio: 'pipe' });
  const [pack] = JSON.parse(output) as [{ filename: string; files: { path: string }[] }];
  tarball = join(temp, pack.filename);
  packed = pack.files.map((file) => file.path);
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1']);
  for (const name of ['chevrotain', '@chevrotain', 'lodash-es', 'commander']) {
    const from = join(root, 'node_modules', name);
    if (existsSync(from)) symlinkSync(from, join(user, 'node_modules', name));
  }
});

afterAll(() => rmSync(temp, { recursive: true, force: true }));

describe('the tarball', () => {
  test.each([
    'package.json',
    'LICENSE',
    'bin/faultline.js',
    'dist/src/index.js',
    'dist/src/index.d.ts',
    'src/index.ts',
    'examples/guest/bin/hello',
    'examples/guest/bin/missing-demo',
    'examples/guest/bin/bg-snapshot',
    'examples/guest/bin/wp-dirty-log',
  ])('contains %s', (path) => expect(packed).toContain(path));

  test('contains the shipped litmus files', () => {
    expect(packed.filter((path) => /^litmus\/.*\.flt$/.test(path)).length).toBeGreaterThan(0);
  });

  test('leaves out tests, build records and native programs', () => {
    const unwanted = /\.test\.|\.tsbuildinfo$|^dist\/(scripts|test)\/|^examples\/guest\/native\//;
    expect(packed.filter((path) => unwanted.test(path))).toEqual([]);
  });

  test('has each source that a source map of it speaks of', () => {
    const maps = packed.filter((path) => path.startsWith('dist/src/') && path.endsWith('.js.map'));
    const sources = maps.map((path) => path.replace(/^dist\//, '').replace(/\.js\.map$/, '.ts'));
    expect(sources.filter((path) => !packed.includes(path))).toEqual([]);
  });

  test('keeps the programs executable as they are committed', () => {
    const path = 'examples/guest/bin/hello';
    expect(readFileSync(join(installed, path)).equals(readFileSync(join(root, path)))).toBe(true);
  });
});

test('publint finds nothing', async () => {
  const { messages, pkg } = await publint({ pkgDir: installed, pack: false, strict: true });
  expect(messages.map((message) => formatMessage(message, pkg, { color: false }))).toEqual([]);
});

test('attw finds its types resolvable by everyone who can use ES modules', () => {
  const attw = join(root, 'node_modules/.bin/attw');
  const args = [tarball, '--profile', 'esm-only', '--format', 'json', '--no-definitely-typed'];
  const output = execFileSync(attw, args, { encoding: 'utf8' }); // a problem is a status that throws
  const { analysis } = JSON.parse(output) as { analysis: { types: unknown; problems: unknown[] } };
  expect(analysis.types).toEqual({ kind: 'included' });
});

test('Node imports the entry', () => {
  const code =
    "import * as f from 'faultline'; process.stdout.write(String(Object.keys(f).length))";
  const args = ['--input-type=module', '--eval', code];
  const count = execFileSync(process.execPath, args, { cwd: user, encoding: 'utf8' });
  expect(Number(count)).toBeGreaterThan(0);
});

describe('a browser worker', () => {
  const chromium = findChromium();

  test('can bundle the entry without anything of Node', async () => {
    expect(await bundleWorker()).not.toMatch(/from\s*["']node:|__vite-browser-external/);
  });

  test.skipIf(chromium === undefined)(
    `loads the entry${chromium === undefined ? ` (${NEEDS_CHROMIUM})` : ''}`,
    async () => {
      const page = `<!doctype html><script type="module">
        const report = (text) => fetch('/report', { method: 'POST', body: text });
        const worker = new Worker('/worker.js', { type: 'module' });
        worker.onmessage = (event) => report(JSON.stringify(event.data));
        worker.onerror = (event) => report(JSON.stringify({ error: event.message ?? 'did not load' }));
      </script>`;
      const files = new Map([
        ['/', page],
        ['/worker.js', await bundleWorker()],
      ]);
      const report = await reportOfPage(chromium ?? '', files, 50_000);
      const inNode: object = await import(pathToFileURL(join(installed, 'dist/src/index.js')).href);
      expect(JSON.parse(report)).toEqual({
        exports: Object.keys(inNode).sort(),
        node: 'undefined',
        document: 'undefined',
      });
    },
  );
});

/** One script for a worker. Workers know no import map, so a user bundles too (docs/dependencies.md). */
async function bundleWorker(): Promise<string> {
  const result = await build({
    root: user,
    configFile: false,
    logLevel: 'error',
    resolve: { alias: { faultline: join(installed, 'dist/src/index.js') }, preserveSymlinks: true },
    build: {
      write: false,
      minify: false,
      target: 'es2022',
      lib: { entry: join(root, 'test/browser/worker.js'), formats: ['es'], fileName: 'worker' },
    },
  });
  const [output] = Array.isArray(result) ? result : [result];
  if (output === undefined || !('output' in output)) throw new Error('vite built nothing');
  return output.output.map((chunk) => ('code' in chunk ? chunk.code : '')).join('\n');
}
