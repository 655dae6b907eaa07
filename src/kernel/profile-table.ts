/** The text of `faultline profiles`. */
import { FACTS, type Fact, type Since, sinceOn, UNLIKE } from './profile-facts.ts';
import { PROFILES, type Profile, VERSIONS } from './profiles.ts';
import { ARCHITECTURES, type Architecture, compareReleases } from './versions.ts';

const OLDEST_FIRST: readonly string[] = [...VERSIONS].reverse();
const NAME_WIDTH = Math.max(...FACTS.map((row) => row.name.length)) + 2;
const CELL_WIDTH = 6;

const LEGEND = [
  '+ has it, - does not; m: measured on 6.18.44, d: a man page says so, r: read in a commit, a mail or a list of',
  'stable releases, k: recalled, not checked here. A profile stands for the last release of its line.',
];

/** One cell: `+d`, `-k`. */
export function cellOf(row: Fact, version: string, architecture: Architecture): string {
  const from = sinceOn(row, architecture);
  const has = from.version !== null && compareReleases(version, from.version) >= 0;
  const measured = row.measured && has && version === '6.18' && architecture === 'x86-64';
  return `${has ? '+' : '-'}${measured ? 'm' : letterOf(from)}`;
}

function letterOf(from: Since): string {
  return { documented: 'd', read: 'r', recalled: 'k' }[from.known];
}

/** Everything: what versions can do, where architectures differ, whence it is known, and what is not carried. */
export function listProfiles(): string {
  const [first, ...others] = ARCHITECTURES;
  return `${[
    ...LEGEND,
    '',
    ...block(first, FACTS),
    ...others.flatMap((arch) => ['', ...block(arch, differing(arch))]),
    '',
    'Where from:',
    ...FACTS.map((row) => `  ${row.name}: ${sourcesOf(row)}`),
    '',
    'Not carried by the older profiles, which are (partial) therefore:',
    ...UNLIKE.map(
      (u) => `  ${[u.versions, ...(u.architectures ?? [])].join(' ')}: ${u.what} (${u.source})`,
    ),
    '',
    'Patches of each profile (faultline patches says what they do):',
    ...PROFILES.map((p, i) => `  ${p.title}: ${stackText(p, PROFILES[i - 1] ?? null)}`),
  ].join('\n')}\n`;
}

function block(architecture: Architecture, rows: readonly Fact[]): string[] {
  const more = architecture === 'x86-64' ? '' : ', where it differs';
  const title = `${architecture}${more}`.padEnd(NAME_WIDTH);
  return [
    `${title}${OLDEST_FIRST.map((v) => v.padEnd(CELL_WIDTH)).join('')}`.trimEnd(),
    ...rows.map((row) => {
      const cells = OLDEST_FIRST.map((v) => cellOf(row, v, architecture).padEnd(CELL_WIDTH));
      return `${row.name.padEnd(NAME_WIDTH)}${cells.join('')}${row.gap}`.trimEnd();
    }),
  ];
}

/** A stack, told by its difference from the newer version's, or from the same version's on the first architecture. */
function stackText(profile: Profile, newer: Profile | null): string {
  const [first] = ARCHITECTURES;
  const base =
    profile.architecture === first
      ? newer
      : (PROFILES.find((p) => p.version === profile.version && p.architecture === first) ?? null);
  if (base === null) return 'none: it is what the core reads as';
  const more = profile.patches.filter((p) => !base.patches.includes(p)).map((p) => p.name);
  const less = base.patches.filter((p) => !profile.patches.includes(p)).map((p) => p.name);
  const parts = [`as ${base.name}`];
  if (more.length > 0) parts.push(`with ${more.join(' ')}`);
  if (less.length > 0) parts.push(`without ${less.join(' ')}`);
  return parts.join(', ');
}

function differing(architecture: Architecture): Fact[] {
  return FACTS.filter((row) => row.on?.[architecture] !== undefined);
}

function sourcesOf(row: Fact): string {
  const show = (from: Since): string =>
    `${from.version === null ? 'never' : `since ${from.version}`} (${from.source})`;
  const more = ARCHITECTURES.flatMap((arch) => {
    const from = row.on?.[arch];
    return from === undefined ? [] : [`${arch} ${show(from)}`];
  });
  return [show(row.since), ...more].join('; ');
}
