import { RequestError } from '../problem.ts';
import type { NamedEngine, UpdateRequest } from '../world.ts';
import type { UpdateBody } from './bodies.ts';

/** The time-out of an update of the Python tool, whose `timeout` bounds only the request to the engine. */
const UPDATE_MS = 600_000;

/**
 * Combines the requests to all ranks into one update. Each receiving rank with an `update_url` identifies an engine,
 * which receives the addresses of `inference_group_ranks`, or of all ranks. A rank without one sends no request.
 *
 * @throws {RequestError}
 */
export function joinedUpdate(calls: ReadonlyMap<number, UpdateBody>): UpdateRequest {
  const bodies = [...calls].sort(([a], [b]) => a - b);
  const ranks = sameRanks(bodies);
  const receiving = ranks.length > 0 ? ranks : bodies.map(([rank]) => rank);
  const engines = bodies
    .filter(([rank, { update_url: url }]) => receiving.includes(rank) && url !== undefined && url !== null)
    .map(([rank, body]): NamedEngine => {
      checkUrl(rank, body.update_url!);
      checkGroup(rank, body.inference_group_ranks, receiving);
      return {
        updateUrl: body.update_url!,
        uds: body.uds ?? undefined,
        ranks: body.inference_group_ranks,
        timeoutMs: Math.ceil(body.timeout * 1000),
      };
    });
  checkAsked(engines, receiving);
  const timeoutMs = Math.max(UPDATE_MS, ...engines.map((engine) => engine.timeoutMs + 60_000));
  return { ranks, inferenceGroupRanks: [], timeoutMs, engines };
}

function sameRanks(bodies: readonly (readonly [number, UpdateBody])[]): readonly number[] {
  const [first, ...others] = bodies.map(([, { ranks }]) => [...new Set(ranks)].sort((a, b) => a - b));
  const other = others.findIndex((ranks) => String(ranks) !== String(first));
  if (other >= 0) {
    throw invalid(
      `Rank 0 received a request to update ranks [${first!.join(', ')}], and rank ${other + 1} ranks [${others[other]!.join(', ')}]`,
      'Send the same "ranks" to every rank',
    );
  }
  const unknownRank = first!.find((rank) => rank >= bodies.length);
  if (unknownRank === undefined) return first!;
  throw invalid(
    `"ranks" has rank ${unknownRank}, and this world has ranks 0 to ${bodies.length - 1}`,
    'Correct "ranks"',
  );
}

function checkUrl(rank: number, url: string): void {
  if (/^https?:\/\//.test(url) && URL.canParse(url)) return;
  throw invalid(`The update_url of rank ${rank} is "${url}", expected an http or https URL`, 'Correct "update_url"');
}

function checkGroup(rank: number, group: readonly number[], receiving: readonly number[]): void {
  const unknownRank = group.find((member) => !receiving.includes(member));
  if (unknownRank === undefined) return;
  throw invalid(
    `inference_group_ranks of rank ${rank} has rank ${unknownRank}, which does not receive`,
    'Use only ranks that receive',
  );
}

/** If no engine received the address of a rank, the update would wait for that rank's worker until the time-out. */
function checkAsked(engines: readonly NamedEngine[], receiving: readonly number[]): void {
  const isAsked = (rank: number): boolean => engines.some(({ ranks }) => ranks.length === 0 || ranks.includes(rank));
  const absent = receiving.filter((rank) => !isAsked(rank));
  if (absent.length === 0) return;
  throw invalid(
    `No engine receives the addresses of ranks [${absent.join(', ')}]: no update_url has them among its inference_group_ranks`,
    'Send update_url to the first rank of each engine, with the ranks of that engine as inference_group_ranks',
  );
}

function invalid(what: string, hint: string): RequestError {
  return new RequestError(422, what, hint);
}
