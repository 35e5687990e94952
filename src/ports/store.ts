/**
 * The store, as each flow sees it: of one process (embedded), or shared by many (Redis). Small interfaces; one adapter may
 * implement all of them. Every method may be called concurrently. "Durable" means: survives kill -9 and power loss, given the journal (ports/journal.ts), which is written
 * first and replayed at start.
 */
import type {
  Certificate,
  CrlRecord,
  CrlScope,
  IssuerTag,
  Lane,
  PublishedResponse,
  RevokedEntry,
} from '../core/certificate.ts';
import type { Spread } from '../core/minute-counts.ts';
import type { LiveQuestion, LiveSignature } from '../core/ocsp/live.ts';
import type { ResponderUse } from '../core/policy/responder-choice.ts';
import type { Serial } from '../core/serial.ts';
import type { EpochMs } from '../core/time.ts';
import type { CrlDraft, CrlFile } from './crl-archive.ts';

/** A certificate's new state, and the lane that must sign it. */
export interface Change {
  readonly certificate: Certificate;
  /** Undefined when the answer need not change (a final certificate after its precertificate). */
  readonly lane: Lane | undefined;
}

export interface Ledger {
  /** Sequence number of the last record of this process's journal that is applied; 0 for a new store. */
  appliedSeq(): Promise<number>;
  /**
   * The greatest sequence number of this process's journal that was ever applied here, to whichever issuer. A journal that ends
   * before it has lost records.
   */
  newestSeq(): Promise<number>;
  /** Same order as asked; undefined for what this issuer never issued. */
  find(issuer: IssuerTag, serials: readonly Serial[]): Promise<readonly (Certificate | undefined)[]>;
  /**
   * Applies the changes of journal record `seq` in one atomic write: certificates, revoked index, queue, appliedSeq. What is in
   * already is left as it is. A lost write is repaired by the replay of the journal.
   * @param changes of one issuer: a Cluster has no atomic write over several.
   * @param decidedOn what `find` had said of these certificates when the changes were decided, by certificateKey. Where it says
   *   something else now, another intake was quicker: nothing is applied, and the outcome is `overtaken`.
   * @returns `overtaken` never comes from a store with one writer.
   */
  apply(
    changes: readonly Change[],
    seq: number,
    decidedOn: ReadonlyMap<string, Certificate | undefined>,
  ): Promise<'applied' | 'overtaken'>;
  /**
   * Brings in journal record `seq` after a crash, or after the store forgot: of each certificate what outranks (core/precedence.ts)
   * stays, so the order in which several journals are replayed does not matter. Idempotent.
   */
  replay(changes: readonly Change[], seq: number): Promise<void>;
  /**
   * Says that everything in this process's journal is in the ledger. A shared store that was restarted, emptied or failed over is
   * relied on only when every intake has said so (Reliance).
   */
  vouch(): Promise<void>;
  /**
   * Revoked entries of the scope in ascending order of serial octets, each serial once, in pages: those of a shard, or all of the
   * issuer. Everything up to recordedSeq `asOfSeq` is in them; what is recorded while they are read may be.
   */
  revokedEntries(scope: CrlScope): {
    readonly asOfSeq: Promise<number>;
    readonly pages: AsyncIterable<readonly RevokedEntry[]>;
  };
  /**
   * Every certificate of an issuer once, in any order, in pages: ten million do not fit into memory. As of one instant; in a shared
   * store of what is recorded meanwhile the one state or the other.
   */
  certificates(issuer: IssuerTag): AsyncIterable<readonly Certificate[]>;
}

export type Lookup =
  /** Never issued, as far as this store knows: `unauthorized`, never `good` (P3). */
  | { readonly kind: 'unknown' }
  /** Issued, but no answer of the recorded revision is published yet. */
  | { readonly kind: 'pending'; readonly certificate: Certificate }
  | { readonly kind: 'published'; readonly certificate: Certificate; readonly response: PublishedResponse };

export interface ResponseSource {
  /** Never returns a response of an older revision than the certificate's (P2). Freshness is for the caller to judge. */
  lookup(issuer: IssuerTag, serial: Serial): Promise<Lookup>;
}

export interface IssuedSerials {
  /** Serials of the issuer in any order, in pages; what is recorded or forgotten while it runs may be missing. */
  serials(issuer: IssuerTag): AsyncIterable<readonly Serial[]>;
}

export interface QueueItem {
  readonly issuer: IssuerTag;
  readonly serial: Serial;
  readonly lane: Lane;
  readonly dueAt: EpochMs;
}

export type PublishOutcome =
  | 'published'
  /** The certificate's revision has moved on: the answer is dropped, the queue holds newer work. */
  | 'superseded'
  /** The published answer is of the same revision and not older (the clock stepped, or it was asked for meanwhile): it stays, and the item stays leased. */
  | 'older';

export interface RefreshQueue {
  /**
   * Takes up to `limit` items due at `nowMs`, the longest due first (refresh: roughly), and leases them to the caller: at least
   * once, not twice at once. The lease ends with the process, or in a shared store after half a minute: then somebody else gets
   * them, and what the first one still does with them changes nothing.
   * @param unable issuers that this process cannot sign for now: a shared store leaves their work to others.
   */
  takeDue(lane: Lane, nowMs: EpochMs, limit: number, unable?: ReadonlySet<IssuerTag>): Promise<readonly QueueItem[]>;
  /**
   * Gives leased items back, to be due again at `dueAt`. @param dueAt not before any of them was due: a refresh item that is due
   * before its answer is to be refreshed counts as overtaken.
   */
  postpone(items: readonly QueueItem[], dueAt: EpochMs): Promise<void>;
  /** Drops leased items for which there is nothing to do. An item that was inserted again meanwhile is due once more. */
  drop(items: readonly QueueItem[]): Promise<void>;
  /** Drops leased items and the published answers of their certificates, which have expired (RFC 9919 §3.2.3). Told once each. */
  retire(items: readonly QueueItem[]): Promise<void>;
  /**
   * Compare-and-swap on the certificate's revision, per item; moves the item to the refresh lane at `refreshAt`.
   * Not synced: an answer lost with the power is still queued and will be signed again.
   */
  publish(
    responses: readonly { readonly response: PublishedResponse; readonly item: QueueItem }[],
  ): Promise<readonly PublishOutcome[]>;
  /**
   * Makes the published answers of the issuer due at `dueAt`, unless they are due earlier: those of one responder certificate, or
   * all of them. What is published while it runs is left as it is. Reads and writes in pages; again changes nothing.
   * @returns how many such answers there were.
   */
  refreshAll(issuer: IssuerTag, responder: string | undefined, dueAt: EpochMs): Promise<number>;
  /**
   * Items of the lane that are due at `nowMs`, leased ones included; whole seconds, for `refresh` minutes. From memory: cheap
   * enough for every scrape.
   */
  backlog(lane: Lane, nowMs: EpochMs): number;
  /** When the oldest item of the lane was or will be due; seconds, for `refresh` minutes. From memory. */
  oldestDue(lane: Lane): EpochMs | undefined;
}

/** How fresh the whole population of published answers is. From memory: cheap enough for every scrape. */
export interface Freshness {
  /** False until every published answer has been counted after the start. */
  readonly complete: boolean;
  /** Published answers of the issuer, and the extremes over all of them, to the minute below. */
  of(issuer: IssuerTag): {
    readonly count: number;
    readonly oldestThisUpdate: EpochMs | undefined;
    readonly leastNextUpdate: EpochMs | undefined;
  };
  /** How the times of all of them are spread; undefined when there are none, or nothing is known yet. */
  spread(issuer: IssuerTag): PublishedSpread | undefined;
}

export interface PublishedSpread {
  readonly thisUpdate: Spread;
  readonly nextUpdate: Spread;
}

/** How the store itself fares. From memory; undefined where it does not apply or is not known. */
export interface StoreHealth {
  /** The longest that a shared store took to answer, of the last minute or two. */
  readonly roundTripMs: number | undefined;
  /** What it holds: on disk, or in the memory of Redis. */
  readonly bytes: number | undefined;
  /** How much this process's clock is ahead of the store's. */
  readonly clockAheadMs: number | undefined;
  /** For how long there was no look at the change feed that left nothing to read; 0 in a store of one process. */
  readonly feedLagMs: number;
}

export interface CrlShelf {
  current(scope: CrlScope): Promise<CrlRecord | undefined>;
  /** Scopes of which a CRL was ever published; for who signs, also those that the store has forgotten and its archive has not. */
  scopes(issuer: IssuerTag): Promise<readonly CrlScope[]>;
  /** The DER of a published CRL. @throws Problem `corrupt` when the archive does not hold what was published. */
  body(record: CrlRecord): Promise<Buffer>;
  /**
   * The same, read in pieces; over a shared store it is in memory as a whole in a process without an archive, which has only the
   * current CRL of a scope and, for some seconds, the one before. @throws Problem `corrupt`
   */
  openCrl(record: CrlRecord): Promise<CrlFile>;
  /** Begins the next CRL of the scope, for whoever signs. @throws Problem `config` in a process without an archive. */
  draftCrl(scope: CrlScope): Promise<CrlDraft>;
  /**
   * Reserves a CRL number greater than every one reserved before and at least `atLeast`. Durable when it resolves, so a
   * number is never used twice, whatever happens next (C-10, T-34).
   */
  reserveNumber(scope: CrlScope, atLeast: bigint): Promise<bigint>;
  /**
   * Archives the draft, then makes the record current if `previous` is still the scope's current number and the new number is
   * greater (C-10). Durable when it resolves. False: somebody else published meanwhile, or the number does not grow;
   * nothing changed. @throws Problem `conflict` when the archive holds another CRL under this number; `too-large` when a shared
   * store is not to hold so much.
   */
  publishCrl(record: CrlRecord, draft: CrlDraft, previous: bigint | undefined): Promise<boolean>;
  /**
   * False while processes that serve the published CRL have not all said that they do (Relay). Of a shared store nobody says so:
   * there Reliance.propagationMs stands for it. From memory.
   */
  isRelayed(record: CrlRecord): boolean;
  /** Newest first. A shared store knows the newest hundred; who has an archive adds what that has of the older ones. */
  list(scope: CrlScope): AsyncIterable<CrlRecord>;
  /**
   * May this process build the next CRLs of the issuer, of whatever scope? One process has the claim until it has not asked again for half a minute; the
   * rest get false. A claim that was lost meanwhile makes publishCrl return false (fencing).
   */
  claimCrl(issuer: IssuerTag): Promise<boolean>;
  /** Gives the claim up: this process cannot build, another may be able to. Never rejects; at worst the claim runs out. */
  releaseCrl(issuer: IssuerTag): Promise<void>;
  /**
   * After a shared store forgot, or a store was restored from a backup: the newest CRL that this process has archived is current
   * again, unless a newer one is; its number counts as reserved. Its asOfSeq and scheduledAsOfSeq are 0, because the ledger may count anew: nothing leaves the CRL
   * on their strength.
   */
  restoreCrl(scope: CrlScope): Promise<CrlRecord | undefined>;
}

/** Responder certificates, so that every responder can assemble what any signer has signed. */
export interface ResponderShelf {
  /** DER of each, as the signers have put them. */
  responders(issuer: IssuerTag): Promise<readonly Buffer[]>;
  /** Adds it; told as `responder`. Again changes nothing. */
  addResponder(issuer: IssuerTag, der: Buffer): Promise<void>;
  /**
   * Nobody signs with it any more; with `nothing`, nobody serves an answer of it either, and `responders` has it no more. Told as
   * `responder-retired`. Again changes nothing, except that `nothing` goes beyond `answers`.
   */
  retireResponder(issuer: IssuerTag, responder: string, use: Exclude<ResponderUse, 'signing'>): Promise<void>;
  /** What was retired, by id: for those who did not follow then. */
  retiredResponders(issuer: IssuerTag): Promise<ReadonlyMap<string, Exclude<ResponderUse, 'signing'>>>;
}

/** How a responder that cannot sign gets something signed. In a store of one process nobody calls. */
export interface AskLine {
  /** A call without an answer; the feed tells when it is published. Never rejects; what cannot be sent is lost. */
  ask(issuer: IssuerTag, serial: Serial): void;
  /** Called in a process that signs. */
  onAsk(listener: (issuer: IssuerTag, serial: Serial) => void): void;
  /**
   * A call for an answer to one request (RFC 9654), which comes back to the caller alone and is kept nowhere. Whoever is on the line
   * can send anything: the caller checks what comes. Never rejects.
   * @returns `refused` by a signer that has no room; `silence` when nobody has answered within `withinMs`.
   */
  askLive(question: LiveQuestion, withinMs: number): Promise<LiveSignature | 'refused' | 'silence'>;
  /** Called in a process that signs: one of those that are able answers each call. */
  onLive(signer: LiveListener): void;
}

export interface LiveListener {
  /** From memory. False: the call is left to others. */
  able(issuer: IssuerTag): boolean;
  /** Never rejects; undefined, at once or later: refused. */
  answer(question: LiveQuestion): Promise<LiveSignature | undefined> | undefined;
}

/** Whether the store can be relied on. A store of one process always can. */
export interface Reliance {
  /**
   * Why nothing may be read from it or written to it now, for people: `Redis does not answer`, `waiting for intake-2 to vouch for
   * the ledger`. While it is set, every method of the store that would depend on it throws Problem `unavailable`. From memory.
   */
  readonly failure: string | undefined;
  /** The same of one issuer: what no intake has vouched for yet keeps nobody from what can be relied on. From memory. */
  failureOf(issuer: IssuerTag): string | undefined;
  /** True when this process must replay its journal and vouch: the store is new, was restarted, or has forgotten. */
  readonly mustVouch: boolean;
  /** Milliseconds until a change has reached every process that hears of changes at all; 0 in a store of one process. */
  readonly propagationMs: number;
  /** For how long nothing has proved that changes made elsewhere reach this process; 0 in a store of one process. */
  silentMs(): number;
}

/**
 * What followers are told, in order. In a store of one process before the method that caused it resolves; in a shared one soon
 * after, in every process, the causing one included. A follower that throws is the process's bug.
 */
export type StoreEvent =
  | { readonly type: 'recorded'; readonly change: Change }
  | {
      readonly type: 'published';
      readonly certificate: Certificate;
      readonly response: PublishedResponse;
      readonly previous: PublishedResponse | undefined;
    }
  | { readonly type: 'retired'; readonly previous: PublishedResponse }
  /** A shared store says that there is a first answer of this revision, not what it is. */
  | { readonly type: 'answered'; readonly issuer: IssuerTag; readonly serial: Serial; readonly revision: number }
  | { readonly type: 'crl'; readonly record: CrlRecord; readonly der: Buffer }
  | { readonly type: 'responder'; readonly issuer: IssuerTag; readonly der: Buffer }
  | {
      readonly type: 'responder-retired';
      readonly issuer: IssuerTag;
      readonly responder: string;
      readonly use: Exclude<ResponderUse, 'signing'>;
    }
  /** Events of the issuer were lost: what is known of it only from events is to be read again. */
  | { readonly type: 'gap'; readonly issuer: IssuerTag };

export interface ChangeFeed {
  follow(follower: (event: StoreEvent) => void): void;
}

/** A store of one process whose answers other processes of the machine serve too. */
export interface Relay {
  /**
   * As `follow`; but what `tell` returns is waited for before the method that caused the event resolves. So nothing is acknowledged
   * that somebody may still contradict (P2). It is given the events of one change together, and never rejects.
   */
  relay(tell: (events: readonly StoreEvent[]) => Promise<void> | undefined): void;
}

/** A store of one process that can be copied while it is written. */
export interface StoreCopies {
  /**
   * As of one moment, into a directory that is not there yet; opened from it, it is that store.
   * @param breathe after each page, with the entries so far.
   * @throws Error of the disk; the directory is removed then.
   */
  copyTo(
    directory: string,
    breathe: (entries: number) => Promise<void>,
  ): Promise<{ readonly entries: number; readonly appliedSeq: number }>;
}

/** All that a process with the responder role needs. It writes nothing (P7). */
export type ResponderStore = ResponseSource &
  IssuedSerials &
  Pick<CrlShelf, 'current' | 'scopes' | 'body'> &
  Pick<ResponderShelf, 'responders' | 'retiredResponders'> &
  Pick<AskLine, 'ask' | 'askLive'> &
  Reliance &
  ChangeFeed;

export interface Store
  extends Ledger, ResponseSource, IssuedSerials, RefreshQueue, CrlShelf, ResponderShelf, AskLine, Reliance, ChangeFeed {
  close(): Promise<void>;
}

export type AnswerTimes = Pick<PublishedResponse, 'issuer' | 'thisUpdate' | 'nextUpdate'>;

/** A store of one process, whose followers count for themselves. */
export interface Population {
  /** The times of every published answer, in pages: for the freshness gauges at start. */
  published(): AsyncIterable<readonly AnswerTimes[]>;
}
