import { stderr } from 'node:process';
import { Option } from 'commander';
import { LOG_FORMATS, LOG_LEVELS } from '../output/log-options.ts';

/** `--log-level` */
export function logLevelOption(level: (typeof LOG_LEVELS)[number]): Option {
  return new Option('--log-level <level>', 'level of the log on standard error').choices(LOG_LEVELS).default(level);
}

/** `--log-level` of commands that show progress bars on a terminal: the log does not repeat what the bars show. */
export function barsLogLevelOption(): Option {
  return logLevelOption('info').default(
    stderr.isTTY ? 'warn' : 'info',
    'warn on a terminal, where bars show the progress; otherwise info',
  );
}

/** `--log-format` */
export function logFormatOption(): Option {
  return new Option('--log-format <format>', 'format of the log')
    .choices(LOG_FORMATS)
    .default(stderr.isTTY ? 'pretty' : 'json', 'pretty on a terminal, otherwise json');
}

/** `--json` */
export function jsonOption(): Option {
  return new Option('--json', 'print one JSON object on standard output and nothing else');
}
