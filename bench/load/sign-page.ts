/** A thread that signs pages of ResponseData with the demo's responder key: what makes a million answers in a minute. */
import { createPrivateKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

export interface PageToSign {
  /** Comes back with the signatures: several pages may be under way. */
  readonly lane: number;
  readonly tbs: readonly Uint8Array[];
}

export interface SignedPage {
  readonly lane: number;
  readonly signatures: readonly Uint8Array[];
}

const { keyFile } = workerData as { readonly keyFile: string };
const key = createPrivateKey(readFileSync(keyFile));

parentPort?.on('message', ({ lane, tbs }: PageToSign) => {
  const signed: SignedPage = { lane, signatures: tbs.map((octets) => sign('sha256', octets, key)) };
  parentPort?.postMessage(signed);
});
