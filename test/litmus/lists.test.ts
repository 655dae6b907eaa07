/** `faultline profiles` and `faultline explain` as they are typed. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const BIN = fileURLToPath(new URL('../../bin/faultline.js', import.meta.url));

function faultline(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync('node', [BIN, ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

test.each([
  [['explain', 'EFOO', 'read'], /^faultline: no error is called EFOO: .*\n$/],
  [['explain', 'EINVAL', 'UFFDIO_REGSTER'], /^faultline: .* did you mean `UFFDIO_REGISTER`\?\n$/],
  [['explain', 'EINVAL', 'frobnicate'], /^faultline: no call is known as frobnicate: .*\n$/],
  [['check', 'litmus/populate.flt', '--profile', '5.4'], /unknown profile 5\.4: there are 6\.18/],
])('%j is refused in one line, with status 2', (args, message) => {
  const { status, stdout, stderr } = faultline(...args);
  expect([status, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(message);
});

test('the checks of a call come in order', () => {
  const { status, stdout } = faultline('explain', 'einval', 'uffdio_register');
  expect(status).toBe(0);
  const orders = stdout
    .trim()
    .split('\n')
    .map((line) => Number(line.split(' ')[1]));
  expect(orders.length).toBeGreaterThan(3);
  expect(orders).toEqual([...orders].sort((a, b) => a - b));
});

test('profiles says what each version has, on every architecture', () => {
  const { status, stdout } = faultline('profiles');
  expect(status).toBe(0);
  expect(stdout).toMatch(/^x86-64 +5\.7 +5\.10 .* 6\.18$/m);
  expect(stdout).toMatch(/^riscv64, where it differs/m);
});
