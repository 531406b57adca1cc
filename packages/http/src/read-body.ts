const FIRST_BYTES = 64 * 2 ** 10;

/**
 * Reads the body of a request piece by piece, as it arrives: joining the pieces of a large body at its end would stop
 * the server for the time of two copies. The caller limits the size.
 */
export async function readBody(request: Request): Promise<Uint8Array<ArrayBuffer>> {
  if (request.body === null) return new Uint8Array(0);
  const declared = Number(request.headers.get('content-length') ?? FIRST_BYTES);
  let body = new Uint8Array(declared);
  let sizeBytes = 0;
  for await (const piece of request.body as ReadableStream<Uint8Array>) {
    if (sizeBytes + piece.byteLength > body.byteLength) {
      const larger = new Uint8Array(Math.max(2 * body.byteLength, sizeBytes + piece.byteLength));
      larger.set(body.subarray(0, sizeBytes));
      body = larger;
    }
    body.set(piece, sizeBytes);
    sizeBytes += piece.byteLength;
  }
  return sizeBytes === body.byteLength ? body : body.slice(0, sizeBytes);
}
