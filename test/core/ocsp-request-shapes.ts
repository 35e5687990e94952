/** OCSPRequests as other people's software writes them, and every octet of them altered. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc, { type Arbitrary } from 'fast-check';

const base64 = (text: string): Buffer => Buffer.from(text, 'base64');

/** SECOM RootCA2 answers for these; SHA-1 CertIDs, serials as their certificates have them. */
export const ROOT_CA2_REQUESTS = [
  ['MFEwTzBNMEswSTAJBgUrDgMCGgUABBTyDvPjcY8Z0TDZzHotwwMWHLKc0AQUCoWpd2UFmHxAgfgPlyw48QrsPM8CECK5saEtkfGBrXp7bb6zjqc=', '22b9b1a12d91f181ad7a7b6dbeb38ea7'],
  ['MEowSDBGMEQwQjAJBgUrDgMCGgUABBTyDvPjcY8Z0TDZzHotwwMWHLKc0AQUCoWpd2UFmHxAgfgPlyw48QrsPM8CCSK5sWSIvOaV/A==', '22b9b16488bce695fc'],
  ['MFEwTzBNMEswSTAJBgUrDgMCGgUABBTyDvPjcY8Z0TDZzHotwwMWHLKc0AQUCoWpd2UFmHxAgfgPlyw48QrsPM8CECK5saB0ZBhX96ATMttCuew=', '22b9b1a074641857f7a01332db42b9ec'],
  ['MEowSDBGMEQwQjAJBgUrDgMCGgUABBTyDvPjcY8Z0TDZzHotwwMWHLKc0AQUCoWpd2UFmHxAgfgPlyw48QrsPM8CCSK5sWMM7LQ8Lg==', '22b9b1630cecb43c2e'],
] as const; // prettier-ignore

/** What nginx 1.22 and Java 17 asked for on the wire: a GET path. */
export const NGINX_PATH =
  '/MFEwTzBNMEswSTAJBgUrDgMCGgUABBRCgeYRplXu3JcyXBZS1gDI1ZBTagQU8ijoXvrD3Xe%2FbyRwp2Lggl%2BGcRgCEH8AobLD1OX2ABEiM0RVZgE%3D';

/** requestExtensions with id-pkix-ocsp-response, as NSS 3.87 puts it behind every request. */
export const NSS_EXTENSIONS = base64('oh4wHDAaBgkrBgEFBQcwAQQEDTALBgkrBgEFBQcwAQE=');

/** A request by the openssl command; options such as `-sha256`, `-no_nonce`, `-serial 0x0102`. */
export function opensslRequest(dir: string, ...options: string[]): Buffer {
  execFileSync('openssl', ['ocsp', '-issuer', 'ca.pem', ...options, '-reqout', 'request.der'], {
    cwd: dir,
    stdio: 'ignore',
  });
  return readFileSync(join(dir, 'request.der'));
}

/** One to three small injuries: octets changed, removed, doubled, cut off. */
export function mutated(seeds: readonly Buffer[]): Arbitrary<Buffer> {
  const injury = fc.record({
    kind: fc.constantFrom('set', 'flip', 'remove', 'insert', 'cut', 'length'),
    at: fc.nat(4096),
    value: fc.nat(255),
  });
  return fc
    .tuple(fc.constantFrom(...seeds), fc.array(injury, { minLength: 1, maxLength: 3 }))
    .map(([seed, injuries]) => {
      let der = Buffer.from(seed);
      for (const { kind, at, value } of injuries) {
        const where = der.length === 0 ? 0 : at % der.length;
        if (kind === 'set') der[where] = value;
        else if (kind === 'flip') der[where] = (der[where] ?? 0) ^ (1 << (value & 7));
        else if (kind === 'length') der[where] = ((der[where] ?? 0) + (value & 1 ? 1 : 255)) & 0xff;
        else if (kind === 'remove') der = Buffer.concat([der.subarray(0, where), der.subarray(where + 1)]);
        else if (kind === 'insert')
          der = Buffer.concat([der.subarray(0, where), Buffer.of(value), der.subarray(where)]);
        else der = der.subarray(0, where);
      }
      return der;
    });
}
