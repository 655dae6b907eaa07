/** Finds and reads the `.flt` files that a command line names. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

export interface LitmusFile {
  readonly path: string;
  readonly text: string;
}

/** A path that cannot be used, in a sentence. */
export class UnusableFile extends Error {
  override readonly name = 'UnusableFile';
}

/** @throws UnusableFile */
export function readLitmusFiles(paths: readonly string[]): LitmusFile[] {
  return paths.flatMap((path) => {
    if (path === '-') return [{ path: '-', text: readFileSync(0, 'utf8') }];
    return filesUnder(path).map((file) => ({ path: file, text: readText(file) }));
  });
}

function filesUnder(path: string): string[] {
  let isDirectory: boolean;
  try {
    isDirectory = statSync(path).isDirectory();
  } catch (error) {
    throw new UnusableFile(`${path}: ${reason(error)}`);
  }
  if (!isDirectory) return [path];
  const found = readdirSync(path, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.flt'))
    .sort()
    .map((name) => join(path, name));
  if (found.length === 0) throw new UnusableFile(`${path}: no .flt file in this directory`);
  return found;
}

const MAX_BYTES = 1 << 20;

function readText(path: string): string {
  try {
    const bytes = readFileSync(path);
    if (bytes.length > MAX_BYTES)
      throw new UnusableFile(`${path}: larger than a litmus test can be`);
    if (bytes.includes(0)) throw new UnusableFile(`${path}: not a text file`);
    return bytes.toString('utf8');
  } catch (error) {
    if (error instanceof UnusableFile) throw error;
    throw new UnusableFile(`${path}: ${reason(error)}`);
  }
}

function reason(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  if (code === 'ENOENT') return 'no such file or directory';
  if (code === 'EACCES') return 'permission denied';
  return error instanceof Error ? error.message : String(error);
}
