/**
 * Saturation by wrk: one thread on the load's CPU, requests prepared once. It counts replies, octets and failures; that each reply
 * is the right one is checked beforehand by our own generator, and here by the octets of a reply on the average.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cpuUse, LOAD_CPU, pinned, type CpuUse } from './processes.ts';
import type { QuestionFile } from './questions.ts';
import type { Server } from './servers.ts';

export interface Saturation {
  readonly requests: number;
  readonly seconds: number;
  readonly octetsPerReply: number;
  /** Connections refused, time-outs, and status 400 and above. */
  readonly failures: number;
  /** Connections that ended early: wrk says so too of every server that closes without having announced it, as a bare one does. */
  readonly broken: number;
  readonly server: CpuUse;
  readonly generator: CpuUse;
}

/** @param start which request is the first: another one each time, so that all of many are asked about. */
export async function saturate(
  work: string,
  { port, pids }: Pick<Server, 'port' | 'pids'>,
  questions: QuestionFile,
  connections: number,
  seconds: number,
  start: number,
): Promise<Saturation> {
  const script = join(work, 'wrk.lua');
  writeFileSync(script, LUA);
  const fixed = ['-t', '1', '-c', String(connections), '-d', `${seconds}s`, '--timeout', '5s', '-s', script];
  const own = [`http://127.0.0.1:${port}`, questions.requests, questions.draw ?? '', String(start)];
  const child = spawn(...pinned(LOAD_CPU, 'wrk', [...fixed, ...own]), { stdio: ['ignore', 'pipe', 'inherit'] });
  const pid = child.pid as number;
  let printed = '';
  let server: CpuUse | undefined;
  let generator = cpuUse([pid]);
  let startedAt = 0;
  // From when it has read its requests: what comes before is no load.
  const ready = new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
      if (server === undefined && printed.includes('ready')) {
        server = cpuUse(pids);
        generator = cpuUse([pid]);
        startedAt = performance.now();
        resolve();
      }
    });
  });
  const ended = once(child, 'exit');
  await Promise.race([ready, ended]);
  const generatorBefore = generator;
  let lastSeen = startedAt;
  const watch = setInterval(() => {
    const seen = cpuUse([pid]);
    if (seen.busy < generator.busy) return;
    generator = seen;
    lastSeen = performance.now();
  }, 50);
  const [code] = (await ended) as [number | null];
  clearInterval(watch);
  const after = cpuUse(pids);
  const result = /result (\d+) (\d+) (\d+) (\d+) (\d+)/.exec(printed);
  if (code !== 0 || server === undefined || result === null) throw new Error(`wrk failed:\n${printed}`);
  const [requests, octets, failures, broken, micros] = result.slice(1).map(Number) as [number, number, number, number, number]; // prettier-ignore
  // The last look at the generator comes a little before its end.
  const share = Math.max(0.001, (lastSeen - startedAt) / 1e3 / (micros / 1e6));
  return {
    requests,
    seconds: micros / 1e6,
    octetsPerReply: octets / requests,
    failures,
    broken,
    server: { busy: after.busy - server.busy, waiting: after.waiting - server.waiting },
    generator: {
      busy: (generator.busy - generatorBefore.busy) / Math.min(1, share),
      waiting: (generator.waiting - generatorBefore.waiting) / Math.min(1, share),
    },
  };
}

/** `ready` when the requests are read; `result requests octets failures broken microseconds` at the end. */
const LUA = `
local requests, order, at = {}, nil, 0
local function u32(text, i)
  local a, b, c, d = text:byte(i, i + 3)
  return a + b * 256 + c * 65536 + d * 16777216
end
function init(args)
  local file = assert(io.open(args[1], 'rb'))
  while true do
    local serial = file:read(1)
    if not serial then break end
    file:read(serial:byte())
    local length = file:read(2)
    local high, low = length:byte(1, 2)
    requests[#requests + 1] = file:read(high * 256 + low)
  end
  file:close()
  if args[2] ~= '' then
    local text = assert(io.open(args[2], 'rb')):read('*a')
    order = {}
    for i = 1, #text, 4 do order[#order + 1] = u32(text, i) + 1 end
  end
  at = tonumber(args[3]) % (order and #order or #requests)
  io.stdout:write('ready\\n')
  io.stdout:flush()
end
function request()
  if order then
    at = at % #order + 1
    return requests[order[at]]
  end
  at = at % #requests + 1
  return requests[at]
end
function done(summary)
  local errors = summary.errors
  io.stdout:write(string.format('result %d %d %d %d %d\\n', summary.requests, summary.bytes,
    errors.connect + errors.status + errors.timeout, errors.read + errors.write, summary.duration))
end
`;
