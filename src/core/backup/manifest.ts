/** What a backup says of itself (`manifest.json`), and what never becomes part of one. */
import { Problem } from '../problem.ts';

export interface BackedUpFile {
  /** From the root of the backup, with `/`. */
  readonly path: string;
  readonly octets: number;
  /** Hex. */
  readonly sha256: string;
}

export interface LeftOut {
  readonly path: string;
  readonly why: string;
}

export interface Manifest {
  readonly format: 1;
  readonly version: string;
  /** Of the process whose data directory it was. */
  readonly name: string;
  /** RFC 3339. */
  readonly takenAt: string;
  /** Last record of the journal that is in it; undefined of a process that keeps none. */
  readonly journal: { readonly seq: number; readonly hash: string } | undefined;
  /** The embedded store, as of the moment when the backup was begun; undefined over a shared one. */
  readonly store: { readonly entries: number; readonly appliedSeq: number } | undefined;
  readonly files: readonly BackedUpFile[];
  readonly leftOut: readonly LeftOut[];
}

/**
 * What a data directory has below its root that a backup takes. The store has a way of its own (ports/store.ts, StoreCopies), and
 * whatever else lies there is nobody's evidence.
 */
export const BACKED_UP = ['certstatus.yaml', 'issuers', 'intake', 'mass', 'crl-urls', 'crl', 'audit'] as const;

/** Why a file must not be in a backup: private keys, wherever they lie (CT-6.2.5, SR-6.2.5). @param contents the first octets. */
export function keyMaterial(path: string, contents: Uint8Array): string | undefined {
  if (/\.(key|p8|p12|pfx)$/i.test(path)) return 'a private key, by its name (CT-6.2.5)';
  return Buffer.from(contents.buffer, contents.byteOffset, contents.byteLength).includes('PRIVATE KEY-----')
    ? 'a private key, by its contents (CT-6.2.5)'
    : undefined;
}

/** @throws Problem `corrupt` naming what is wrong with it. */
export function readManifest(text: string): Manifest {
  let value: Partial<Manifest> | null;
  try {
    value = JSON.parse(text) as Partial<Manifest> | null;
  } catch (error) {
    throw wrong(`is no JSON: ${(error as Error).message}`);
  }
  if (value?.format !== 1) throw wrong(`has format ${String(value?.format)}; this version reads format 1`);
  if (!Array.isArray(value.files) || !Array.isArray(value.leftOut)) throw wrong('lists no files');
  for (const { path, octets, sha256 } of value.files) {
    // It names files of the backup alone, so that nobody's manifest has others read or written.
    if (
      typeof path !== 'string' ||
      !/^(?!\.)[^\\]+$/.test(path) ||
      path.split('/').some((part) => /^\.{0,2}$/.test(part))
    )
      throw wrong(`names a file outside the backup: ${String(path)}`);
    if (!Number.isSafeInteger(octets) || !/^[0-9a-f]{64}$/.test(sha256))
      throw wrong(`has no size and digest for ${path}`);
  }
  return value as Manifest;
}

function wrong(what: string): Problem {
  return new Problem('corrupt', `the manifest ${what}`, { field: 'manifest.json' });
}
