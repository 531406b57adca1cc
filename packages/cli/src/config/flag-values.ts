import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { parseSize } from '@checkpoint-engine/planner/sizes';
import { InvalidArgumentError } from 'commander';

/** A flag's bytes: `512MiB`, `2GiB`, `8e9`. */
export function sizeFlag(text: string): number {
  try {
    const bytes = parseSize(text);
    if (bytes > 0) return bytes;
  } catch (error) {
    if (!CheckpointEngineError.isInstance(error)) throw error;
  }
  throw new InvalidArgumentError('It is not a size. Write it like 512MiB, 2GiB or 8e9.');
}

/** A flag's integer from 1 on. */
export function countFlag(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It is not a count. Write an integer from 1 on.');
}

/** A flag's ranks, ascending: `0-7`, `0,2,4-5`. */
export function ranksFlag(text: string): number[] {
  const ranks = new Set<number>();
  for (const part of text.split(',')) {
    const [, first, last = first] = /^\s*(\d{1,6})(?:-(\d{1,6}))?\s*$/.exec(part) ?? [];
    if (first === undefined || Number(last) < Number(first)) {
      throw new InvalidArgumentError('It is not a list of ranks. Write it like 0-7 or 0,2,4-5.');
    }
    for (let rank = Number(first); rank <= Number(last); rank++) ranks.add(rank);
  }
  return [...ranks].sort((a, b) => a - b);
}

/** A flag's integer from 0 on. */
export function indexFlag(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It is not an index. Write an integer from 0 on.');
}

/** A flag's seconds, in milliseconds. */
export function secondsFlag(text: string): number {
  const seconds = text.trim() === '' ? Number.NaN : Number(text);
  if (seconds >= 0 && seconds <= 86_400) return Math.round(seconds * 1000);
  throw new InvalidArgumentError('It is not a number of seconds from 0 to 86400.');
}

/** As {@link secondsFlag}, but not 0: a time-out. */
export function timeoutFlag(text: string): number {
  const milliseconds = secondsFlag(text);
  if (milliseconds > 0) return milliseconds;
  throw new InvalidArgumentError('It is not a number of seconds above 0.');
}

/** A flag's http or https URL, without the slash at its end. */
export function urlFlag(text: string): string {
  if (/^https?:\/\//.test(text) && URL.canParse(text)) return text.replace(/\/+$/, '');
  throw new InvalidArgumentError('It is not a URL. Write it like http://127.0.0.1:8000.');
}

/** Collects the values of a flag that may be given several times. */
export function repeated<T>(parse: (text: string) => T): (text: string, before: T[] | undefined) => T[] {
  return (text, before = []) => [...before, parse(text)];
}

/** A flag's checkpoint name: as the HTTP API takes it. */
export function nameFlag(text: string): string {
  if (isCheckpointName(text)) return text;
  throw new InvalidArgumentError('It is not a name. Write 1 to 256 characters, none of them a control character.');
}

/** Whether a text can name a checkpoint. */
export function isCheckpointName(text: string): boolean {
  return text.length > 0 && text.length <= 256 && !/\p{Cc}/u.test(text);
}
