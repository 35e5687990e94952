/**
 * GeneralizedTime and UTCTime in the only forms that OCSP and CRLs may use: UTC, seconds present, no fraction
 * (RFC 5280 §4.1.2.5; O-13, L-14, C-07). Everything else is refused, and so is a day that the month does not have.
 */
import { Problem } from '../problem.ts';
import { DAY, HOUR, MINUTE, SECOND, type EpochMs } from '../time.ts';

/** `YYYYMMDDHHMMSSZ` */
export const GENERALIZED_TIME_OCTETS = 15;
/** `YYMMDDHHMMSSZ` */
const UTC_TIME_OCTETS = 13;
export const TAG_UTC_TIME = 0x17;
export const TAG_GENERALIZED_TIME = 0x18;

/** 0001-01-01 and 9999-12-31T23:59:59Z: what four digits of year can say. */
const FIRST_MS = Date.UTC(2001, 0, 1) - 5 * 146_097 * DAY;
const LAST_MS = Date.UTC(10_000, 0, 1) - SECOND;
/** RFC 5280 §4.1.2.5.1: two digits of year stand for 1950 through 2049. */
const UTC_TIME_FIRST_MS = Date.UTC(1950, 0, 1);
const UTC_TIME_LAST_MS = Date.UTC(2050, 0, 1) - SECOND;

/**
 * Writes the fifteen octets at `at`; a fraction of a second is cut off.
 * @throws Problem `invalid` outside the years 1 to 9999.
 */
export function putGeneralizedTime(target: Uint8Array, at: number, ms: EpochMs): void {
  if (!(ms >= FIRST_MS && ms < LAST_MS + SECOND))
    throw new Problem('invalid', 'no such GeneralizedTime', { value: ms });
  putDigits(target, at, ms, true);
}

/** Whether C-07 wants UTCTime for this instant (through 2049) or GeneralizedTime (from 2050). */
export function isUtcTime(ms: EpochMs): boolean {
  return ms < UTC_TIME_LAST_MS + SECOND;
}

/**
 * Writes a CRL's Time with its header at `at` and returns the octet after it: UTCTime through 2049, GeneralizedTime from
 * 2050 (RFC 5280 §5.1.2.4, C-07).
 * @throws Problem `invalid` before 1950, which no CRL can express, and after 9999.
 */
export function putTime(target: Uint8Array, at: number, ms: EpochMs): number {
  if (!isUtcTime(ms)) {
    target[at] = TAG_GENERALIZED_TIME;
    target[at + 1] = GENERALIZED_TIME_OCTETS;
    putGeneralizedTime(target, at + 2, ms);
    return at + 2 + GENERALIZED_TIME_OCTETS;
  }
  if (!(ms >= UTC_TIME_FIRST_MS)) throw new Problem('invalid', 'no such UTCTime', { value: ms, rule: 'C-07' });
  target[at] = TAG_UTC_TIME;
  target[at + 1] = UTC_TIME_OCTETS;
  putDigits(target, at + 2, ms, false);
  return at + 2 + UTC_TIME_OCTETS;
}

/** A CRL's Time as an element of its own. */
export function encodeTime(ms: EpochMs): Buffer {
  const buffer = Buffer.alloc(2 + GENERALIZED_TIME_OCTETS);
  return buffer.subarray(0, putTime(buffer, 0, ms));
}

/** The instant in `bytes[start..stop)`, or undefined when that is not exactly `YYYYMMDDHHMMSSZ` naming a real second. */
export function readGeneralizedTime(bytes: Uint8Array, start: number, stop: number): EpochMs | undefined {
  if (stop - start !== GENERALIZED_TIME_OCTETS) return undefined;
  const century = twoDigits(bytes, start);
  const year = twoDigits(bytes, start + 2);
  if (century < 0 || year < 0) return undefined;
  return readRest(bytes, start + 4, century * 100 + year);
}

/** The instant in `bytes[start..stop)`, or undefined when that is not exactly `YYMMDDHHMMSSZ` naming a real second. */
export function readUtcTime(bytes: Uint8Array, start: number, stop: number): EpochMs | undefined {
  if (stop - start !== UTC_TIME_OCTETS) return undefined;
  const year = twoDigits(bytes, start);
  if (year < 0) return undefined;
  return readRest(bytes, start + 2, year < 50 ? 2000 + year : 1900 + year);
}

function readRest(bytes: Uint8Array, at: number, year: number): EpochMs | undefined {
  const month = twoDigits(bytes, at);
  const day = twoDigits(bytes, at + 2);
  const hour = twoDigits(bytes, at + 4);
  const minute = twoDigits(bytes, at + 6);
  const second = twoDigits(bytes, at + 8);
  if (bytes[at + 10] !== 0x5a) return undefined; // Z
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return undefined;
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return undefined;
  return daysBefore(year, month, day) * DAY + hour * HOUR + minute * MINUTE + second * SECOND;
}

/** 0 to 99, or -1. */
function twoDigits(bytes: Uint8Array, at: number): number {
  const tens = (bytes[at] as number) - 0x30;
  const ones = (bytes[at + 1] as number) - 0x30;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -1;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/*
 * The calendar by arithmetic, because a Date per time costs more than the rest of a response. Years are counted from March,
 * so that the leap day is the last day of a year; 400 years are 146,097 days; 1970-01-01 is day 719,468 from 0000-03-01.
 */

function daysBefore(year: number, month: number, day: number): number {
  const marchYear = month > 2 ? year : year - 1;
  const marchMonth = month > 2 ? month - 3 : month + 9;
  const leaps = Math.floor(marchYear / 4) - Math.floor(marchYear / 100) + Math.floor(marchYear / 400);
  return marchYear * 365 + leaps + Math.floor((153 * marchMonth + 2) / 5) + day - 1 - 719_468;
}

/** Digits and Z, with two or four digits of year. The caller has checked the range, so nothing here is negative. */
function putDigits(target: Uint8Array, at: number, ms: EpochMs, fullYear: boolean): void {
  const seconds = Math.floor(ms / SECOND);
  const days = Math.floor(seconds / 86_400);
  // `| 0` cuts to 32-bit integers: three times as fast as Math.trunc, and a CRL has a million of these.
  const inDay = (seconds - days * 86_400) | 0;
  const shifted = (days + 719_468) | 0;
  const era = (shifted / 146_097) | 0;
  const inEra = shifted - era * 146_097;
  const yearInEra = ((inEra - ((inEra / 1460) | 0) + ((inEra / 36_524) | 0) - ((inEra / 146_096) | 0)) / 365) | 0;
  const inYear = inEra - (365 * yearInEra + ((yearInEra / 4) | 0) - ((yearInEra / 100) | 0));
  const marchMonth = ((5 * inYear + 2) / 153) | 0;
  const day = inYear - (((153 * marchMonth + 2) / 5) | 0) + 1;
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
  const year = yearInEra + era * 400 + (month <= 2 ? 1 : 0);
  const hour = (inDay / 3600) | 0;
  const minute = ((inDay / 60) | 0) - hour * 60;
  const century = (year / 100) | 0;

  let next = at;
  if (fullYear) next = putTwo(target, next, century);
  next = putTwo(target, next, year - century * 100);
  next = putTwo(target, next, month);
  next = putTwo(target, next, day);
  next = putTwo(target, next, hour);
  next = putTwo(target, next, minute);
  next = putTwo(target, next, inDay - hour * 3600 - minute * 60);
  target[next] = 0x5a;
}

function putTwo(target: Uint8Array, at: number, value: number): number {
  const tens = (value / 10) | 0;
  target[at] = 0x30 + tens;
  target[at + 1] = 0x30 + value - tens * 10;
  return at + 2;
}
