import { Agent, request } from 'node:http';
import { type CliOptions, type RunningCli, startCli } from './run-cli.ts';

/** An answer of the server. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  readonly bytes: Uint8Array;
  /** The text as JSON. */
  json<T = Record<string, unknown>>(): T;
}

/** A server under test, at a Unix socket or a port. */
export interface TestServer {
  readonly running: RunningCli;
  readonly address: string;
  call(method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Answer>;
}

/** Options of {@link startServer}. */
export interface ServerOptions extends CliOptions {
  /** Whether to use one connection for successive calls. @default false */
  readonly keepAlive?: boolean;
}

/** Starts `serve` on the host device; resolves when it serves. */
export async function startServer(
  args: readonly string[],
  { keepAlive = false, ...options }: ServerOptions = {},
): Promise<TestServer> {
  const agent = keepAlive ? new Agent({ keepAlive }) : false;
  const running = startCli(['serve', '--device', 'host', '--log-format', 'json', ...args], options);
  const printed = await running.untilPrinted(/"msg":"Serving"/);
  const line = printed.split('\n').find((text) => text.includes('"msg":"Serving"'))!;
  const { address } = JSON.parse(line) as { address: string };
  return {
    running,
    address,
    call: (method, path, body, headers = {}) => call({ address, agent }, method, path, body, headers),
  };
}

function call(
  { address, agent }: { readonly address: string; readonly agent: Agent | false },
  method: string,
  path: string,
  body: unknown,
  headers: Readonly<Record<string, string>>,
): Promise<Answer> {
  const isBinary = body instanceof Uint8Array;
  const content = body === undefined ? undefined : isBinary ? body : JSON.stringify(body);
  const { hostname, port } = address.startsWith('http://') ? new URL(address) : { hostname: 'localhost', port: '' };
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        ...(port ? { hostname, port } : { socketPath: address }),
        path,
        method,
        headers: {
          ...(content === undefined ? {} : { 'content-type': isBinary ? 'application/msgpack' : 'application/json' }),
          ...headers,
        },
        agent,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const bytes = Buffer.concat(chunks);
          const text = bytes.toString();
          const { statusCode = 0, headers: received } = response;
          resolve({ status: statusCode, headers: received, text, bytes, json: () => JSON.parse(text) });
        });
        response.on('error', reject);
      },
    );
    sent.on('error', reject);
    sent.end(content);
  });
}
