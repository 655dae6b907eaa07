// Goal: what is mounted is there with its content, can be read only where it says so, and comes back as the guest leaves it.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { mountOption, readMount, writeBack } from '../../apps/cli/mount.ts';
import { readTree, storeMount } from '../../src/run/mount.ts';
import { O_CREAT, O_RDWR, O_WRONLY } from '../../src/uapi/fcntl.ts';
import { FileKit } from '../kernel/file-kit.ts';

let k: FileKit;
let host = '';
beforeEach(() => {
  k = new FileKit();
  host = mkdtempSync(join(tmpdir(), 'faultline-mount-'));
  mkdirSync(join(host, 'sub'));
  writeFileSync(join(host, 'a'), 'hi');
  writeFileSync(join(host, 'sub', 'gone'), 'old');
});
afterEach(() => {
  rmSync(host, { recursive: true, force: true });
  expect(k.census()).toBeNull();
});

function mount(suffix: string): ReturnType<typeof mountOption>[number] {
  const [option] = mountOption(`${host}:/data${suffix}`, []);
  if (option === undefined) throw new Error('no option');
  const tree = readMount(option);
  if (typeof tree === 'string') throw new Error(tree);
  storeMount(tree);
  return option;
}

test('changes go back to the host, and only they', () => {
  const option = mount('');
  const before = readMount(option);
  expect([k.cat('/data/a'), k.list('/data')]).toEqual(['hi', ['a', 'sub']]);
  const fd = Number(k.open('/data/new', O_RDWR | O_CREAT));
  k.write(fd, [104, 111], 0);
  k.call('close', fd);
  expect(k.at('unlinkat', '/data/sub/gone', 0)).toBe(0);
  if (typeof before === 'string') throw new Error(before);
  writeBack(host, before.entries, readTree(k.world, '/data'));
  expect(readdirSync(host).sort()).toEqual(['a', 'new', 'sub']);
  expect(readFileSync(join(host, 'new'), 'utf8')).toBe('ho');
  expect(readdirSync(join(host, 'sub'))).toEqual([]);
});

test('nothing below a mount that is read only can be changed', () => {
  mount(':ro');
  expect([k.open('/data/a', O_WRONLY), k.open('/data/b', O_RDWR | O_CREAT)]).toEqual([
    'EROFS',
    'EROFS',
  ]);
  expect([k.at('unlinkat', '/data/a', 0), k.at('mkdirat', '/data/c', 0o755)]).toEqual([
    'EROFS',
    'EROFS',
  ]);
  expect(k.cat('/data/sub/gone')).toBe('old');
});
