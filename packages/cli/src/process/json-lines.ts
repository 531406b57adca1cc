import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

/** Calls `onLine` for every line of a text stream. Resolves when the stream has ended, for any reason. */
export function readLines(stream: Readable, onLine: (line: string) => void): Promise<void> {
  const decoder = new StringDecoder('utf8');
  // Pieces of an incomplete line. They are joined once, so that the cost of a long line is linear.
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

/** Parses a line as a JSON object. Returns `undefined` if it is not a JSON object. */
export function parseMessage(line: string): { readonly type: string } | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const message: unknown = JSON.parse(line);
    return typeof (message as { type?: unknown }).type === 'string' ? (message as { type: string }) : undefined;
  } catch {
    return undefined;
  }
}
