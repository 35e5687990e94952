/** The CRLs of a test service, as another library reads them. */
import { completeCrl } from '../../src/core/certificate.ts';
import assert from 'node:assert/strict';
import { AsnConvert } from '@peculiar/asn1-schema';
import { CertificateList } from '@peculiar/asn1-x509';
import type { CrlRecord } from '../../src/core/certificate.ts';
import type { TestService } from './support-service.ts';

/** The CRLs published so far, oldest first. */
export async function crls(service: TestService): Promise<CrlRecord[]> {
  const records: CrlRecord[] = [];
  for await (const record of service.store.list(completeCrl(service.served.tag))) records.unshift(record);
  return records;
}

/** Serials on a CRL, as another library reads it. */
function listed(der: Uint8Array): Set<string> {
  const { tbsCertList } = AsnConvert.parse(der, CertificateList);
  return new Set(
    (tbsCertList.revokedCertificates ?? []).map(({ userCertificate }) => Buffer.from(userCertificate).toString('hex')),
  );
}

/** Serials on the CRL that is current. */
export const current = async (service: TestService): Promise<Set<string>> => {
  const record = await service.store.current(completeCrl(service.served.tag));
  assert.ok(record !== undefined);
  return listed(await service.store.body(record));
};

export const failures = (service: TestService): number => service.counter('certstatus_crls_failed_total');
