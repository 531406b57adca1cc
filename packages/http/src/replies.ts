import { z } from '@hono/zod-openapi';

/** An error as RFC 9457 problem details. */
export const problemReply: z.ZodType = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string().openapi({ description: 'What happened' }),
    code: z.string().openapi({ description: 'Stable: see docs/errors.md', example: 'CE_CHECKPOINT_UNKNOWN' }),
    hint: z.string().openapi({ description: 'What to do' }),
    rank: z.int().optional(),
    peer: z.string().optional(),
    op: z.string().optional(),
    file: z.string().optional(),
    tensor: z.string().optional(),
    output: z.string().optional().openapi({ description: "Output of the other side, such as a worker's traceback" }),
    retryable: z.boolean(),
  })
  .openapi('Problem');

/** The methods of an update, as a request names them. */
export const METHODS = ['auto', 'pull', 'buckets'] as const;

const shareState = z.enum(['registering', 'loading', 'registered', 'lost']);

const rank = z
  .object({
    rank: z.int(),
    state: z.enum(['starting', 'ready', 'unresponsive', 'lost']),
    node: z.int(),
    device: z.object({ kind: z.string(), uuid: z.string(), name: z.string() }).optional(),
    restarts: z.int(),
    last_error: problemReply.optional(),
  })
  .openapi('Rank');

/** `GET /v1/readyz` */
export const readyReply: z.ZodType = z
  .object({
    ready: z.boolean(),
    ending: z.boolean().openapi({ description: 'The server is shutting down' }),
    world_size: z.int(),
    ranks: z.array(rank).optional().openapi({ description: 'Omitted for clients that do not send the token' }),
  })
  .openapi('Ready');

/** One checkpoint. */
export const checkpointReply: z.ZodType = z
  .object({
    name: z.string(),
    state: shareState,
    weight_version: z.string().optional().openapi({ description: 'Version from the registration' }),
    files: z.union([z.string(), z.array(z.string())]).optional(),
    has_metas: z.boolean(),
    tensor_count: z.int(),
    size_bytes: z.int(),
    warnings: z.array(z.string()),
    ranks: z.array(
      z.object({
        rank: z.int(),
        state: shareState,
        tensor_count: z.int(),
        size_bytes: z.int(),
        pool_bytes: z.int(),
        error: problemReply.optional(),
      }),
    ),
  })
  .openapi('Checkpoint');

export const checkpointsReply: z.ZodType = z.object({ checkpoints: z.array(checkpointReply) }).openapi('Checkpoints');

const modules = z
  .object({
    count: z.number(),
    direct: z.number().openapi({ description: 'Modules whose bytes are pulled' }),
    staged: z
      .number()
      .openapi({ description: 'Modules that are loaded in their checkpoint format and then processed by the engine' }),
    opaque: z.number().openapi({ description: "Modules that only the engine's loader understands" }),
    reasons: z.array(z.object({ module: z.string(), reason: z.string() })),
  })
  .openapi('Modules');

const stage = z.enum(['waiting', 'plan', 'handshake', 'stream', 'release', 'hook', 'done']);

/** One update. */
export const updateReply: z.ZodType = z
  .object({
    id: z.string(),
    checkpoint: z.string(),
    state: z.enum(['waiting', 'running', 'succeeded', 'failed', 'cancelled']),
    weight_version: z
      .string()
      .optional()
      .openapi({ description: 'Version of the update; if none was given, known after the update has succeeded' }),
    requested_method: z.enum(METHODS).optional().openapi({ description: 'Method in the request' }),
    method: z
      .enum(['pull', 'buckets'])
      .optional()
      .openapi({ description: 'Method of the update, once the ranks have agreed on it' }),
    method_reason: z
      .string()
      .optional()
      .openapi({ description: 'Reason for the method, for example why workers do not pull' }),
    verified: z
      .object({
        mode: z.enum(['off', 'sample', 'full']),
        arrived_bytes: z.number(),
        held_bytes: z.number(),
        unverified_tensors: z.number(),
      })
      .optional(),
    created_at: z.iso.datetime(),
    started_at: z.iso.datetime().optional(),
    ended_at: z.iso.datetime().optional(),
    duration_ms: z.number().optional(),
    stage,
    done_bytes: z
      .int()
      .openapi({ description: 'Bytes of the checkpoint that the slowest receiving rank has reloaded or pulled' }),
    total_bytes: z.int(),
    done_buckets: z.int(),
    bucket_count: z.int(),
    rate_gb_per_s: z.number().openapi({
      description:
        'Rate of the slowest rank while buckets stream, in 1e9 bytes per second; excludes planning, release and hook',
    }),
    ranks: z.array(
      z.object({
        rank: z.int(),
        stage,
        read_bytes: z.int().openapi({ description: "Bytes read during the update, from files or from peers' memory" }),
        h2d_bytes: z.int(),
        broadcast_bytes: z.int(),
        reload_bytes: z.int(),
        pull_bytes: z.int().openapi({ description: 'Bytes that its worker copied directly into its parameters' }),
        needed_bytes: z.int().openapi({ description: 'Bytes of the checkpoint that its worker keeps' }),
        modules: modules
          .optional()
          .openapi({ description: 'Present after a successful update, if the worker reported them' }),
        reloaded_buckets: z.int(),
      }),
    ),
    engines: z.array(
      z.object({
        group_index: z.int(),
        endpoint: z.string(),
        acknowledged: z.boolean().openapi({ description: 'The engine has reported that its workers have the weights' }),
        weight_version_before: z.string().openapi({ description: 'Version before the update, or unknown' }),
        weight_version: z.string().openapi({ description: 'Version that it holds; unknown until the update succeeds' }),
      }),
    ),
    durations_ms: z.record(z.string(), z.number()).optional(),
    removed_files: z
      .array(z.string())
      .optional()
      .openapi({ description: 'Files on /dev/shm that were used in place and have been removed' }),
    error: problemReply.optional(),
  })
  .openapi('UpdateStatus');

/** `POST /v1/checkpoints/{name}/verify` */
export const verifyReply: z.ZodType = z
  .object({
    checkpoint: z.string(),
    equal: z.boolean().openapi({ description: 'No compared byte differs' }),
    digest: z.string().optional().openapi({ description: 'Digest of the checkpoint: see docs/digests.md' }),
    checked_bytes: z.int().openapi({ description: 'Bytes that were compared, on all ranks' }),
    checked_tensors: z.int(),
    differing: z
      .array(
        z.object({
          rank: z.int(),
          other_ranks: z
            .array(z.int())
            .openapi({ description: 'Ranks that hold the same bytes: the difference is on at least one of them' }),
          tensor: z.string(),
          offset_bytes: z.int().openapi({ description: 'Start of the first block that differs' }),
          size_bytes: z.int().openapi({ description: 'Size up to the end of the last block that differs' }),
          expected: z.string().openapi({ description: 'Digest of these blocks in the checkpoint' }),
          seen: z.string().openapi({ description: 'Digest of these blocks in the engine' }),
        }),
      )
      .openapi({ description: 'The first 100, one for each tensor of a rank or of ranks that hold it together' }),
    differing_count: z.int(),
    unverified: z.array(z.string()).openapi({
      description: 'The first 100 tensors that an engine holds in another form, so that they cannot be compared',
    }),
    unverified_tensors: z.int(),
  })
  .openapi('Verification');

export const updatesReply: z.ZodType = z.object({ updates: z.array(updateReply) }).openapi('Updates');

const heldWeights = {
  checkpoint: z.string().optional(),
  update_id: z.string().optional(),
  confirmed_at: z.iso.datetime().optional(),
};

/** `GET /v1/instances` */
export const instancesReply: z.ZodType = z
  .object({
    instances: z.array(
      z.object({
        endpoint: z.string(),
        state: z.enum(['current', 'unknown']).openapi({
          description: 'unknown: an update is running or has failed, or no update has reached it through this server',
        }),
        weight_version: z
          .string()
          .openapi({ description: 'Version that all its ranks have confirmed; unknown in that state' }),
        reason: z.string().optional().openapi({ description: 'Why the version is unknown' }),
        ...heldWeights,
        last: z
          .object({ weight_version: z.string(), ...heldWeights })
          .optional()
          .openapi({ description: 'The last confirmed weights, if the instance may have others' }),
      }),
    ),
  })
  .openapi('Instances');
