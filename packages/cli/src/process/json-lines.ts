import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

/** Calls `onLine` for every line of a stream of text; resolves when the stream has ended, however it ended. */
export function readLines(stream: Readable, onLine: (line: string) => void): Promise<void> {
  const decoder = new StringDecoder('utf8');
  // Pieces of a line whose end has not come: joined once, so that a long line costs what it is long.
  let pieces: string[] = [];
  stream.on('data', (chunk: Uint8Array) => {
    const [first = '', ...more] = decoder.write(chunk as Buffer).split('\n');
    pieces.push(first);
    for (const next of more) {
      onLine(pieces.join(''));
      pieces = [next];
    }
  });
  return new Promise((resolve) => {
    const ended = (): void => {
      const rest = pieces.join('');
      pieces = [];
      if (rest) onLine(rest);
      resolve();
    };
    stream.once('end', ended);
    stream.once('error', ended);
    stream.once('close', ended);
  });
}

/** The line's JSON object, or `undefined` where it is none. */
export function parseMessage(line: string): { readonly type: string } | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const message: unknown = JSON.parse(line);
    return typeof (message as { type?: unknown }).type === 'string' ? (message as { type: string }) : undefined;
  } catch {
    return undefined;
  }
}
