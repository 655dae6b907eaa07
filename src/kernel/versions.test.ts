import { describe, expect, test } from 'vitest';
import { compareReleases, inRange, isRange } from './versions.ts';

describe('versions', () => {
  test('are numbers, not texts: 6.8 is older than 6.15', () => {
    expect(compareReleases('6.8', '6.15')).toBeLessThan(0);
    expect(compareReleases('5.15', '6.1')).toBeLessThan(0);
    expect(compareReleases('6.1', '6.1')).toBe(0);
  });
  test.each([
    ['6.1', '<6.4', true],
    ['6.4', '<6.4', false],
    ['6.6', '>=5.14 <6.10', true],
    ['5.10', '>=5.14 <6.10', false],
    ['6.10', '>=5.14 <6.10', false],
    ['6.18', '<=6.18', true],
    ['6.18', '>6.18', false],
    ['6.18', 'none', false],
    ['6.18', 'proposed', false],
    ['6.18', '', false],
  ])('%s in "%s": %s', (version, range, expected) => {
    expect(isRange(range)).toBe(true);
    expect(inRange(version, range)).toBe(expected);
  });
  test.each(['before 6.4', '< 6.4', '6.4', '<6', '<6.4,>5.1'])('"%s" is no range', (range) => {
    expect(isRange(range)).toBe(false);
  });
});
