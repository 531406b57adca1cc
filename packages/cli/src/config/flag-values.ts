import {
  CheckpointEngineError,
  isWeightVersion,
  MAX_WORLD_SIZE,
  WEIGHT_VERSION_RULE,
} from '@checkpoint-engine/interface';
import { parseSize } from '@checkpoint-engine/planner/sizes';
import { InvalidArgumentError } from 'commander';

/** Parses a size in bytes: `512MiB`, `2GiB`, `8e9`. */
export function sizeFlag(text: string): number {
  try {
    const bytes = parseSize(text);
    if (bytes > 0) return bytes;
  } catch (error) {
    if (!CheckpointEngineError.isInstance(error)) throw error;
  }
  throw new InvalidArgumentError('It is not a size. Write it like 512MiB, 2GiB or 8e9.');
}

/** The most ranks of one host, which the command starts as processes. */
const MAX_LOCAL_RANKS = 1_024;

/** Parses an integer from 1 to the largest number of ranks. */
export function countFlag(text: string): number {
  return countUpTo(MAX_WORLD_SIZE, text);
}

/** Parses the number of ranks to start on this host. */
export function localRanksFlag(text: string): number {
  return countUpTo(MAX_LOCAL_RANKS, text);
}

function countUpTo(most: number, text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text) && Number(text) <= most) return Number(text);
  throw new InvalidArgumentError(`It is not a count. Write an integer from 1 to ${most}.`);
}

/** Parses a list of ranks into ascending order: `0-7`, `0,2,4-5`. */
export function ranksFlag(text: string): number[] {
  const ranks = new Set<number>();
  for (const part of text.split(',')) {
    const [, first, last = first] = /^\s*(\d{1,6})(?:-(\d{1,6}))?\s*$/.exec(part) ?? [];
    if (first === undefined || Number(last) < Number(first) || Number(last) >= MAX_WORLD_SIZE) {
      throw new InvalidArgumentError('It is not a list of ranks. Write it like 0-7 or 0,2,4-5.');
    }
    for (let rank = Number(first); rank <= Number(last); rank++) ranks.add(rank);
  }
  return [...ranks].sort((a, b) => a - b);
}

/** Parses an integer of at least 0. */
export function indexFlag(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It is not an index. Write an integer of at least 0.');
}

/** Parses seconds and returns milliseconds. */
export function secondsFlag(text: string): number {
  const seconds = text.trim() === '' ? Number.NaN : Number(text);
  if (seconds >= 0 && seconds <= 86_400) return Math.round(seconds * 1000);
  throw new InvalidArgumentError('It is not a number of seconds from 0 to 86400.');
}

/** The same as {@link secondsFlag}, but rejects 0: a time-out. */
export function timeoutFlag(text: string): number {
  const milliseconds = secondsFlag(text);
  if (milliseconds > 0) return milliseconds;
  throw new InvalidArgumentError('It is not a number of seconds above 0.');
}

/** Parses the http or https URL of a server, without a query, and removes the slash at its end. */
export function urlFlag(text: string): string {
  if (/^https?:\/\/[^?#]*$/i.test(text) && URL.canParse(text) && new URL(text).port !== '0') {
    return text.replace(/\/+$/, '');
  }
  throw new InvalidArgumentError('It is not the URL of a server. Write it like http://127.0.0.1:8000.');
}

/** Parses the path of a checkpoint. An empty one would mean the current folder. */
export function checkpointPathFlag(text: string): string {
  if (text === '') throw new InvalidArgumentError('It is empty. Write the path of a folder or file.');
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    throw new InvalidArgumentError('It is a URL. Download the checkpoint, and write the path of its folder.');
  }
  return text;
}

/** Collects the values of a repeated flag. */
export function repeated<T>(parse: (text: string) => T): (text: string, before: T[] | undefined) => T[] {
  return (text, before = []) => [...before, parse(text)];
}

/** Parses a checkpoint name with the rules of the HTTP API. */
export function nameFlag(text: string): string {
  if (isCheckpointName(text)) return text;
  throw new InvalidArgumentError('It is not a name. Write 1 to 256 characters without control characters.');
}

/** Parses a version of weights. */
export function weightVersionFlag(text: string): string {
  if (isWeightVersion(text)) return text;
  throw new InvalidArgumentError(`It is not a version. Write ${WEIGHT_VERSION_RULE}.`);
}

/** Whether a text is valid as the name of a checkpoint. */
export function isCheckpointName(text: string): boolean {
  return text.length > 0 && text.length <= 256 && !/\p{Cc}/u.test(text);
}
