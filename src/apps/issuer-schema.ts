/** issuer.yaml: what may stand in it. */
import { z } from 'zod';
import { crlLayout } from './crl-layout.ts';
import { archiveKeeping, crlTiming, ocspTiming, reasonChoices, urlLayout } from './presets.ts';

const keyReferences = z
  .union([z.string().min(1), z.array(z.string().min(1)).min(1).max(8)])
  .describe(
    'a PEM file, or pkcs11:token=<name>;object=<label>; a list: the same key in several places, tried in order',
  );

/** issuer.yaml. Files are relative to it. */
export const issuerSchema = z.strictObject({
  preset: z.string().describe('name of a file in deploy/presets'),
  caCertificates: z
    .array(z.string())
    .min(1)
    .describe('PEM or DER files, all of one name and key; the first is published'),
  responders: z
    .array(
      z.strictObject({
        certificate: z.string(),
        key: keyReferences,
        use: z
          .enum(['signing', 'answers', 'nothing'])
          .default('signing')
          .describe(
            'answers: signs nothing more, its answers are served until they are replaced; nothing: not even that',
          ),
      }),
    )
    .default([])
    .describe('responder certificates and their keys; two during a change-over'),
  ocsp: z
    .strictObject({
      signedBy: z
        .enum(['responder', 'ca'])
        .default('responder')
        .describe(
          'ca: a CA that is never online and has no responder certificates; its answers are exported, signed offline, imported',
        ),
      ...ocspTiming,
    })
    .prefault({})
    .describe('who signs answers, and overrides of the preset'),
  crl: z
    .strictObject({
      key: keyReferences.optional().describe('the CA key; without it no CRL is signed or served'),
      ...crlTiming,
      ...crlLayout,
    })
    .prefault({})
    .describe('the CRL key, and overrides of the preset'),
  reasons: z.strictObject(reasonChoices).prefault({}).describe('overrides of the preset'),
  archive: z.strictObject(archiveKeeping).prefault({}).describe('overrides of the preset'),
  urls: urlLayout.prefault({}).describe('overrides of the preset, list by list'),
  everyCertificateNamesOcsp: z
    .boolean()
    .default(false)
    .describe('true permits a CRL every 7 d instead of every 4 d (B-13)'),
});
export type IssuerFile = z.input<typeof issuerSchema>;
