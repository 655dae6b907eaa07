/** A headless Chromium that opens one page of a server on loopback and waits until the page has posted its report. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const FLAGS =
  '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-dev-shm-usage ' +
  '--disable-background-networking --disable-component-update --disable-sync';

export const NEEDS_CHROMIUM = 'needs Chromium: apt-get install chromium';

/** The command of an installed Chromium; `CHROMIUM` in the environment names another. */
export function findChromium(): string | undefined {
  const named = process.env['CHROMIUM'];
  const answers = (command: string): boolean => spawnSync(command, ['--version']).status === 0;
  return [...(named ? [named] : []), ...NAMES].find(answers);
}

/**
 * Serves `files` (by path, `/` the page) and resolves to the body that the page sends with `fetch('/report', …)`.
 * Fails after `timeoutMs`, or when the browser ends first.
 */
export async function reportOfPage(
  chromium: string,
  files: ReadonlyMap<string, string>,
  timeoutMs: number,
): Promise<string> {
  const profile = mkdtempSync(join(tmpdir(), 'faultline-chromium-'));
  const { server, report } = serve(files);
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const browser = spawn(chromium, [...FLAGS.split(' '), `--user-data-dir=${profile}`, url], {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true, // a process group of its own, so that its helpers end with it
  });
  try {
    return await Promise.race([report, ended(browser), timeout(timeoutMs)]);
  } finally {
    await stop(browser);
    server.closeAllConnections();
    server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}

function serve(files: ReadonlyMap<string, string>): { server: Server; report: Promise<string> } {
  let resolve: (body: string) => void = () => {};
  const report = new Promise<string>((done) => {
    resolve = done;
  });
  const server = createServer((request, response) => {
    const path = request.url ?? '/';
    if (path === '/report') {
      let body = '';
      request.on('data', (chunk) => {
        body += String(chunk);
      });
      request.on('end', () => {
        response.end();
        resolve(body);
      });
      return;
    }
    const text = files.get(path);
    const type = path.endsWith('.js') ? 'text/javascript' : 'text/html';
    response.writeHead(text === undefined ? 404 : 200, { 'content-type': type });
    response.end(text);
  });
  return { server, report };
}

async function ended(browser: ChildProcess): Promise<never> {
  let said = '';
  browser.stderr?.on('data', (chunk) => {
    said += String(chunk);
  });
  const why = await new Promise<string>((done) => {
    browser.on('exit', (code, signal) =>
      done(`Chromium ended (${code ?? signal}) without a report`),
    );
    browser.on('error', (error) => done(`Chromium did not start: ${error.message}`));
  });
  throw new Error(`${why}\n${said.slice(-2000)}`);
}

async function timeout(ms: number): Promise<never> {
  await new Promise((done) => setTimeout(done, ms).unref());
  throw new Error(`the page did not report within ${ms} ms`);
}

/** Ends the group that this module started, and waits, since a live browser still writes its profile. */
async function stop(browser: ChildProcess): Promise<void> {
  if (browser.pid === undefined || browser.exitCode !== null) return;
  const gone = new Promise((done) => browser.once('exit', done));
  try {
    process.kill(-browser.pid, 'SIGKILL');
  } catch {
    return; // it ended by itself meanwhile
  }
  await gone;
}
