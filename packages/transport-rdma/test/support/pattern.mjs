/** Bytes that differ at every offset modulo a prime, so that misplaced bytes do not match. */
export function pattern(sizeBytes, seed) {
  const bytes = new Uint8Array(sizeBytes);
  for (let i = 0; i < sizeBytes; i++) bytes[i] = ((i % 65_521) * 31 + (i >>> 16) + seed) & 255;
  return bytes;
}
