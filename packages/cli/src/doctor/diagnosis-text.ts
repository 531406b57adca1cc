import type { Colors } from '../output/terminal.ts';
import type { Check, Diagnosis } from './check.ts';

/** Formats a diagnosis for users. */
export function diagnosisText({ checks, devices }: Diagnosis, colors: Colors): string {
  const mark: Record<Check['status'], string> = {
    found: colors.green('✓'),
    warning: colors.yellow('!'),
    optional: colors.dim('-'),
    missing: colors.red('✗'),
  };
  const width = Math.max(...checks.map(({ title }) => title.length)) + 2;
  const lines = checks.flatMap(({ status, title, value, hint }) => [
    `${mark[status]} ${colors.bold(title.padEnd(width))}${value.replaceAll('\n', `\n  ${' '.repeat(width)}`)}`,
    ...(hint ? [`  ${' '.repeat(width)}${colors.dim('→')} ${hint}`] : []),
  ]);
  return [...lines, '', verdict(devices, colors)].join('\n');
}

function verdict(devices: Diagnosis['devices'], colors: Colors): string {
  if (devices.length === 0)
    return `${colors.red('Updates cannot run here:')} neither a GPU nor shared memory is usable`;
  const works = devices.map((device) => colors.bold(`--device ${device}`)).join(' and ');
  const next = 'Next: checkpoint-engine demo';
  return `${colors.green('Ready')} for ${works}. ${next}`;
}
