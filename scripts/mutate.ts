/**
 * The mutation run: removes each re-validation of the kernel in turn and says which litmus files notice.
 * `node dist/scripts/mutate.js [part of a name]` after `npm run build`; docs/mutations.md argues the ones that none can.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { mutationPatches } from '../src/kernel/patches/table.ts';
import { DEFAULT_OPTIONS } from '../src/litmus/check.ts';
import { parseLitmus } from '../src/litmus/parse.ts';
import { runVariant } from '../src/litmus/suite.ts';

const MOST = 20_000;
const wanted = process.argv[2] ?? '';
const files = readdirSync('litmus')
  .filter((name) => name.endsWith('.flt'))
  .sort();

for (const patch of mutationPatches()) {
  if (!patch.name.includes(wanted)) continue;
  process.stdout.write(`${patch.name}\n`);
  let found = 0;
  for (const file of files) {
    const test = parseLitmus(readFileSync(`litmus/${file}`, 'utf8'));
    const variant = { profile: '6.18', patches: [patch.name] };
    const report = runVariant(test, variant, { ...DEFAULT_OPTIONS, max: MOST });
    const rules = [...report.broken.map((b) => b.rule), ...report.missed, ...report.expected];
    if (rules.length === 0) continue;
    found++;
    process.stdout.write(`    ${file}: ${[...new Set(rules)].join(', ')}\n`);
  }
  if (found === 0) process.stdout.write('    no file notices\n');
}
