/** What the offline routes accept. */
import { z } from 'zod';
import { MAX_OFFLINE_OCTETS } from '../../core/offline/offline-file.ts';
import { materialSchema } from '../offline-files.ts';
import { duration } from '../yaml-file.ts';

/** A file in a body, and what stands around it. */
export const MAX_OFFLINE_BODY_BYTES = MAX_OFFLINE_OCTETS + (1 << 20);
/** Of a CRL that comes as base64 in such a body. */
export const MAX_IMPORTED_CRL_OCTETS = Math.floor((MAX_OFFLINE_OCTETS * 3) / 4);

const instant = z.string().max(40).describe('RFC 3339 instant in UTC, like 2026-11-20T08:00:00Z.');

export const exportRequest = z.strictObject({
  crl: z.boolean().default(false).describe('The next CRL of every scope of the issuer.'),
  ocsp: z.boolean().default(false).describe('Every answer, for a CA that signs them itself.'),
  responder: z
    .strictObject({
      key: z.array(z.string().min(1).max(1024)).min(1).max(8).describe('PEM file or pkcs11: URI, as in issuer.yaml.'),
      subject: z
        .string()
        .min(1)
        .max(1024)
        .optional()
        .describe('Default: the subject of the newest responder certificate.'),
      validity: duration.optional().describe('Like 90d; default: 90d, or less where the profile permits less.'),
    })
    .optional()
    .describe('A request for a responder certificate for this key.'),
  thisUpdate: instant.optional(),
  nextUpdate: instant.optional(),
});

export const crlImportRequest = z.strictObject({
  crl: z.string().min(1).describe('The CRL, PEM or base64 of its DER.'),
  source: z.string().max(256).describe('Where it came from, for the audit log.'),
});

export const offlineImportRequest = z.strictObject({ material: materialSchema, source: z.string().max(256) });
