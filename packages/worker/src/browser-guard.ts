import type { IncomingMessage } from 'node:http';
import { RequestProblem } from './http-json.ts';

/**
 * Keeps web pages out of a worker that asks for no token: a page can make a browser on this host send requests, under
 * its own name (`Origin`) or under a name of its own that it lets point here (`Host`).
 *
 * @param isLocal The worker listens on the loopback interface, so that `Host` is one of its names.
 * @throws {RequestProblem} 403, 421
 */
export function refuseBrowsers({ headers }: IncomingMessage, isLocal: boolean): void {
  const { host = '', origin } = headers;
  if (isLocal && host !== '' && !isLoopbackHost(host)) {
    throw new RequestProblem(421, `The request is for host "${host}": ask for localhost or 127.0.0.1, or use a token`);
  }
  if (origin !== undefined && origin !== `http://${host}`) {
    throw new RequestProblem(403, `Requests from the web page ${origin} are refused: use a token`);
  }
}

/** `localhost`, `127.x.x.x` and `[::1]`, with or without a port. */
function isLoopbackHost(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i.test(host);
}
