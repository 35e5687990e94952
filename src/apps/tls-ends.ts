/** When the TLS certificates of this process end, as they are when it starts: it uses those until it is started again. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { CertificateGaugeSources } from '../flows/certificate-gauges.ts';
import type { Config } from './config.ts';

/** What cannot be read is left out: whoever uses it says why. */
export function tlsEnds({ intake, store }: Config): NonNullable<CertificateGaugeSources['tls']> {
  const files = [
    { use: 'intake', file: intake?.certificate },
    { use: 'redis', file: store.kind === 'redis' ? store.tls?.certificate : undefined },
  ] as const;
  return files.flatMap(({ use, file }) => {
    const notAfter = file === undefined ? undefined : endOf(file);
    return notAfter === undefined ? [] : [{ use, notAfter }];
  });
}

function endOf(file: string): number | undefined {
  try {
    return Date.parse(new X509Certificate(readFileSync(file)).validTo);
  } catch {
    return undefined;
  }
}
