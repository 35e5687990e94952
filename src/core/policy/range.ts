/**
 * Range requests (RFC 9110 §14), for downloads that are resumed: one range of octets of a file, or the whole. Several ranges in one
 * request are answered with the whole, as §14.2 permits: nobody who fetches CRLs asks so, and a multipart body is no CRL.
 */

export type AskedRange =
  /** Not asked, not understood, or of another CRL than this: the whole is sent, as if Range were not there (§14.2). */
  | 'whole'
  /** Nothing of it exists: 416 (§15.5.17). */
  | 'unsatisfiable'
  /** Both inclusive. */
  | { readonly first: number; readonly last: number };

/**
 * @param ifRange the range counts only while the file is still the one that the client has begun with (H-14): its entity tag, compared
 *   strongly (§13.1.5). A date never does: two CRLs may have been served within the second that it names (§8.8.2.2), and who has our
 *   ETag must not send one.
 */
export function askedRange(
  range: string | undefined,
  ifRange: string | undefined,
  etag: string,
  length: number,
): AskedRange {
  if (range === undefined || (ifRange !== undefined && ifRange.trim() !== etag)) return 'whole';
  const [, from, to] = ONE_RANGE.exec(range) ?? [];
  if (from === undefined || to === undefined || (from === '' && to === '')) return 'whole';
  if (from === '') {
    const suffix = Math.min(Number(to), length);
    return suffix === 0 ? 'unsatisfiable' : { first: length - suffix, last: length - 1 };
  }
  const first = Number(from);
  // §14.1.1: an invalid range is ignored, one beyond the end is not.
  if (to !== '' && Number(to) < first) return 'whole';
  return first >= length ? 'unsatisfiable' : { first, last: to === '' ? length - 1 : Math.min(Number(to), length - 1) };
}

/** Of 206: the fields of 200 (§15.3.7), for the octets that are sent. @param headers with a Content-Length. */
export function partialHeaders(
  headers: string,
  { first, last }: { first: number; last: number },
  whole: number,
): string {
  const shortened = headers.replace(/Content-Length: \d+/, `Content-Length: ${last - first + 1}`);
  return `${shortened}Content-Range: bytes ${first}-${last}/${whole}\r\n`;
}

const ONE_RANGE = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i;
