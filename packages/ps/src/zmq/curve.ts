import { capability, curveKeyPair } from 'zeromq';

/** What a server needs to encrypt: its secret key, Z85. */
export interface CurveServer {
  readonly secretKey: string;
}

/** What a client needs to encrypt: the public key of the server it means to talk to, Z85. */
export interface CurveClient {
  readonly serverKey: string;
}

/** Whether this build of ZeroMQ encrypts. */
export const curveIsAvailable = (): boolean => capability.curve === true;

/** Socket options of a CURVE server. */
export const curveServerOptions = ({ secretKey }: CurveServer): { curveServer: true; curveSecretKey: string } => ({
  curveServer: true,
  curveSecretKey: secretKey,
});

/** Socket options of a CURVE client with a key pair of its own that lives as long as the socket. */
export function curveClientOptions({ serverKey }: CurveClient): {
  curveServerKey: string;
  curvePublicKey: string;
  curveSecretKey: string;
} {
  const { publicKey, secretKey } = curveKeyPair();
  return { curveServerKey: serverKey, curvePublicKey: publicKey, curveSecretKey: secretKey };
}
