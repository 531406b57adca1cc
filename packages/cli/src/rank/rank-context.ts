import type { Device, Logger } from '@checkpoint-engine/interface';
import type { ParameterServer } from '@checkpoint-engine/ps';
import type { Secrets } from '../config/environment.ts';
import type { CallName, CallRequest, CallResult, RankEvent } from '../process/messages.ts';
import type { EngineClients } from './engine-clients.ts';
import type { MetasPieces } from './metas-pieces.ts';

/** The resources of a call. */
export interface RankContext {
  readonly server: ParameterServer;
  readonly device: Device;
  readonly rank: number;
  readonly secrets: Secrets;
  readonly engines: EngineClients;
  readonly metasPieces: MetasPieces;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly onEvent: (event: RankEvent) => void;
}

/** The implementation of each call at one rank. */
export type RankCallsAt = {
  readonly [Name in CallName]: (context: RankContext, request: CallRequest<Name>) => Promise<CallResult<Name>>;
};
