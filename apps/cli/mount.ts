/** `--mount HOST:GUEST[:ro]`: a copy of a file or directory of the host for the guest; changes go back when it has ended. */
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { InvalidArgumentError } from 'commander';
import type { Mount, TreeEntry } from '../../src/run/mount.ts';

export interface MountOption {
  readonly host: string;
  readonly guest: string;
  readonly readOnly: boolean;
}

export function mountOption(text: string, before: readonly MountOption[]): readonly MountOption[] {
  const [, host = '', guest = '', ro] = /^(.+?):(\/[^:]*[^:/])(:ro)?$/.exec(text) ?? [];
  if (host === '') {
    throw new InvalidArgumentError('Give HOST:GUEST or HOST:GUEST:ro, GUEST an absolute path.');
  }
  return [...before, { host, guest, readOnly: ro !== undefined }];
}

/** @returns the copy, or one line that says why there is none */
export function readMount({ host, guest, readOnly }: MountOption): Mount | string {
  const entries: TreeEntry[] = [];
  try {
    read(host, '', entries);
  } catch (error) {
    return `--mount ${host}: cannot be read (${(error as NodeJS.ErrnoException).code})`;
  }
  return { at: guest, entries, readOnly };
}

/** Files and directories in the order of their names; sockets, devices and pipes are left out. */
function read(host: string, path: string, entries: TreeEntry[]): void {
  const full = join(host, path);
  const stat = lstatSync(full);
  const mode = stat.mode & 0o7777;
  if (stat.isSymbolicLink()) entries.push({ path, content: readlinkSync(full), mode });
  else if (stat.isFile()) entries.push({ path, content: readFileSync(full), mode });
  else if (stat.isDirectory()) {
    entries.push({ path, content: null, mode });
    for (const name of readdirSync(full).sort()) {
      read(host, path === '' ? name : `${path}/${name}`, entries);
    }
  }
}

/** Takes what the guest has changed back to the host. @param now the tree at the end */
export function writeBack(
  host: string,
  before: readonly TreeEntry[],
  now: readonly TreeEntry[],
): void {
  const known = new Map(before.map((entry) => [entry.path, entry]));
  const kept = new Set(now.map(({ path }) => path));
  for (const { path } of [...before].reverse()) {
    if (!kept.has(path)) rmSync(join(host, path), { recursive: true, force: true });
  }
  for (const entry of now) {
    const old = known.get(entry.path);
    if (old !== undefined && same(old, entry)) continue;
    store(join(host, entry.path), entry);
  }
}

function same(a: TreeEntry, b: TreeEntry): boolean {
  if (a.content instanceof Uint8Array && b.content instanceof Uint8Array) {
    return Buffer.compare(a.content, b.content) === 0;
  }
  return a.content === b.content;
}

function store(full: string, { content, mode }: TreeEntry): void {
  if (content === null) {
    mkdirSync(full, { recursive: true, mode });
    return;
  }
  mkdirSync(dirname(full), { recursive: true });
  if (typeof content === 'string') {
    rmSync(full, { force: true });
    symlinkSync(content, full);
  } else writeFileSync(full, content, { mode });
}
