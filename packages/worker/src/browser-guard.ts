import type { IncomingMessage } from 'node:http';
import { RequestProblem } from './http-json.ts';

/**
 * Rejects requests from web pages at a worker without a token. A page can make a browser on this host send requests to
 * the worker, with the page's own `Origin`, or with a `Host` of the page that resolves to this host (DNS rebinding).
 *
 * @param isLocal Whether the worker listens on the loopback interface, so that `Host` must be a name of loopback.
 * @throws {RequestProblem} 403, 421
 */
export function refuseBrowsers({ headers }: IncomingMessage, isLocal: boolean): void {
  const { host = '', origin } = headers;
  if (isLocal && host !== '' && !isLoopbackHost(host)) {
    throw new RequestProblem(421, `The request is for host "${host}": use localhost or 127.0.0.1, or a token`);
  }
  if (origin !== undefined && origin !== `http://${host}`) {
    throw new RequestProblem(403, `Requests from the web page ${origin} are rejected: use a token`);
  }
}

/** `localhost`, `127.x.x.x` and `[::1]`, with or without a port. */
function isLoopbackHost(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i.test(host);
}
