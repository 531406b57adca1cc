import { capability, curveKeyPair } from 'zeromq';

/** The key of a server that encrypts: its secret key in Z85. */
export interface CurveServer {
  readonly secretKey: string;
}

/** The key of a client that encrypts: the public key of its server in Z85. */
export interface CurveClient {
  readonly serverKey: string;
}

/** Whether this build of ZeroMQ supports encryption. */
export const curveIsAvailable = (): boolean => capability.curve === true;

/** Socket options of a CURVE server. */
export const curveServerOptions = ({ secretKey }: CurveServer): { curveServer: true; curveSecretKey: string } => ({
  curveServer: true,
  curveSecretKey: secretKey,
});

/** Socket options of a CURVE client. Its own key pair lives as long as the socket. */
export function curveClientOptions({ serverKey }: CurveClient): {
  curveServerKey: string;
  curvePublicKey: string;
  curveSecretKey: string;
} {
  const { publicKey, secretKey } = curveKeyPair();
  return { curveServerKey: serverKey, curvePublicKey: publicKey, curveSecretKey: secretKey };
}
