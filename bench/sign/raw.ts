/**
 * The token without anything around it: a process with as many threads as the token has sessions, each in a bare loop of C_SignInit and
 * C_Sign over one prepared input. Asked over IPC for milliseconds, answers with how many signatures were made in how many.
 *
 *   node raw.js <module> <label> <pin> <key id, hex> <RSA-2048 | P-256> <threads>
 */
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { openModule } from '../../src/adapters/pkcs11/module.ts';
import { signatureInput } from '../../src/adapters/pkcs11/signature-input.ts';

export interface RawAnswer {
  readonly signatures: number;
  readonly milliseconds: number;
}

interface Loop {
  /** Set to 1 for the threads to begin, to 0 for them to end. */
  readonly go: Int32Array;
}

if (isMainThread) await lead();
else await follow();

async function lead(): Promise<void> {
  const [module, label, pin, id, type, threads] = process.argv.slice(2) as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  const { cryptoki, constants, slot } = await openModule({ module, label, serial: undefined });
  const session = cryptoki.C_OpenSession(slot, constants.CKF_SERIAL_SESSION);
  cryptoki.C_Login(session, constants.CKU_USER, pin);
  const go = new Int32Array(new SharedArrayBuffer(4));
  const workers = Array.from(
    { length: Number(threads) },
    () => new Worker(fileURLToPath(import.meta.url), { workerData: { module, label, id, type, go } }),
  );
  const heard = (): Promise<number[]> =>
    Promise.all(workers.map((worker) => new Promise<number>((resolve) => worker.once('message', resolve))));
  await heard();
  process.on('message', (milliseconds: number) => {
    void (async () => {
      const counts = heard();
      const started = performance.now();
      Atomics.store(go, 0, 1);
      Atomics.notify(go, 0);
      setTimeout(() => Atomics.store(go, 0, 0), milliseconds);
      const signatures = (await counts).reduce((sum, count) => sum + count, 0);
      process.send?.({ signatures, milliseconds: performance.now() - started } satisfies RawAnswer);
    })();
  });
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
  process.send?.('ready');
}

async function follow(): Promise<void> {
  const { module, label, id, type, go } = workerData as Loop & Record<'module' | 'label' | 'id' | 'type', string>;
  const { cryptoki, constants, slot } = await openModule({ module, label, serial: undefined });
  const session = cryptoki.C_OpenSession(slot, constants.CKF_SERIAL_SESSION);
  cryptoki.C_FindObjectsInit(session, [
    { type: constants.CKA_CLASS, value: constants.CKO_PRIVATE_KEY },
    { type: constants.CKA_ID, value: Buffer.from(id, 'hex') },
  ]);
  const key = cryptoki.C_FindObjects(session, 1)[0] as Buffer;
  cryptoki.C_FindObjectsFinal(session);
  const rsa = type === 'RSA-2048';
  const mechanism = { mechanism: rsa ? constants.CKM_RSA_PKCS : constants.CKM_ECDSA };
  const input = signatureInput(rsa ? 'rsa' : 'ecdsa', 'sha256', Buffer.alloc(32, 7));
  const output = Buffer.alloc(rsa ? 256 : 64);
  parentPort?.postMessage(0);
  for (;;) {
    Atomics.wait(go, 0, 0);
    let count = 0;
    while (Atomics.load(go, 0) === 1) {
      cryptoki.C_SignInit(session, mechanism, key);
      cryptoki.C_Sign(session, input, output);
      count++;
    }
    parentPort?.postMessage(count);
  }
}
