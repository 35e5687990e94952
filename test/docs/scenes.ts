/** What is there before the first command of a scene: files in the working directory (a checkout), and shell commands. */
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OpensslCa } from '../support/openssl-ca.ts';

export interface Prepared {
  /** @param clone the working directory. */
  readonly files?: (clone: string) => void;
  /** Commands of a bash that ends at the first failure. */
  readonly before?: string;
}

/** What `npm start` leaves. */
const DEMO = `npm start >start.log 2>&1 &
until_said Ctrl-C start.log`;

/** The files of `openssl ca`: a good certificate, a revoked one, a responder certificate. */
function ownCa(clone: string): void {
  const ca = new OpensslCa();
  try {
    const [good, revoked] = ca.issue({ count: 2 });
    if (good === undefined || revoked === undefined) throw new Error('openssl ca has issued nothing');
    ca.revoke(revoked, '-crl_reason', 'superseded');
    const responder = ca.issueResponder();
    writeFileSync(join(clone, 'serials.txt'), `${good.serial}\n`);
    const files = {
      'subscriber.pem': good.file,
      'reported.key': ca.leafKeyFile,
      'ca.pem': ca.certificateFile,
      'ca.key': ca.keyFile,
      'index.txt': ca.indexFile,
      'good.pem': good.file,
      'revoked.pem': revoked.file,
      'ocsp.pem': responder.file,
      'ocsp.key': responder.keyFile,
    };
    for (const [name, file] of Object.entries(files)) copyFileSync(file, join(clone, name));
  } finally {
    ca.remove();
  }
}

/** `example` is served from ./data, with what `ownCa` has issued. */
const EXAMPLE = `certstatus init
certstatus issuer add example --ca ca.pem --responder-cert ocsp.pem --responder-key ocsp.key --crl-key ca.key \\
  --preset baseline --ocsp-path /ocsp --crl-path /example.crl --ca-path /example.crt \\
  --crl-shards 1 --crl-shard-url 'http://crl.example/{shard}.crl'
certstatus import certs --issuer example good.pem
certstatus serve >serve.log 2>&1 &
until_answers http://127.0.0.1:8080/example.crl`;

/** What a subscriber hands in whose key is known to others. */
const REPORTED = `openssl req -new -key reported.key -subj /CN=certstatus-4711 -out reported.csr`;

/** Two CRLs of one scope and an answer, as fetched. */
const FETCHED = `${EXAMPLE}
curl -s http://127.0.0.1:8080/example.crl -o old.crl
certstatus crl publish --issuer example
curl -s http://127.0.0.1:8080/example.crl -o new.crl
cp new.crl cdp.crl
until curl -sf -H 'Host: crl.example' http://127.0.0.1:8080/1.crl -o 1.crl; do sleep 0.2; done
openssl ocsp -issuer ca.pem -CAfile ca.pem -cert good.pem -url http://127.0.0.1:8080/ocsp -respout answer.der
cp ocsp.pem responder.pem`;

export const SCENES: Readonly<Record<string, Prepared>> = {
  /** A fresh checkout. */
  clone: {},
  demo: { before: DEMO },
  'own CA': { files: ownCa },
  'own CA, initialised': { files: ownCa, before: 'certstatus init' },
  example: { files: ownCa, before: `${EXAMPLE}\n${REPORTED}` },
  'files to lint': { files: ownCa, before: FETCHED },
};
