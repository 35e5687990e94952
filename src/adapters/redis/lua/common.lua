--[[
What every script begins with (scripts.ts puts it before each of them).

KEYS[1] is `cs1:{<issuer tag>}:meta`. All other keys are made from it: they carry the same hash tag, so they lie in the same slot.
One declared key, because a client that pipelines must find the slot in a fixed place.

`instance` is what a ledger lives and dies with: the reign of the server, and the epoch that was drawn when the ledger was founded
(gone after FLUSHALL). A reign is the server's run_id (another after a restart) and its replication id (another after a failover: a
master that was replaced, followed its successor and is master again runs on, but without what it had not replicated). A script that
was planned on another instance changes nothing.
]]
local meta = KEYS[1]
local base = string.sub(meta, 1, -5)

local function reign()
  local info = redis.call('INFO', 'server', 'replication')
  return string.match(info, 'run_id:(%x+)') .. string.match(info, 'master_replid:(%x+)')
end

local function instance()
  return reign() .. (redis.call('HGET', meta, 'epoch') or '')
end

-- Milliseconds since 1970 by the server's clock: leases are measured by no other.
local function server_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A lease: `expiry token again holder`; `again` is 1 when the item was inserted again while it was leased.
local function read_lease(field)
  local lease = redis.call('HGET', base .. 'leases', field)
  if not lease then return nil end
  local expiry, token, again, holder = string.match(lease, '^(%d+) (%S+) (%d) (.*)$')
  return { expiry = tonumber(expiry), token = token, again = again, holder = holder }
end

-- Fencing: never the same again, not even after a failover or FLUSHALL that has lost the count.
local function new_token()
  local epoch = redis.call('HGET', meta, 'epoch') or ''
  return string.format('%.0f.%s.%s', redis.call('HINCRBY', meta, 'token', 1), string.sub(reign(), 1, 8), epoch)
end

local function write_lease(field, expiry, token, again, holder)
  redis.call('HSET', base .. 'leases', field, string.format('%.0f %s %s %s', expiry, token, again, holder))
end

-- Nobody else has taken it since, expired or not.
local function holds(field, token)
  local lease = read_lease(field)
  return lease ~= nil and lease.token == token
end

-- What the entries of a feed hold at most, all together: whoever is further behind is told `gap`, and reads again.
local FEED_OCTETS = 2 * 1024 * 1024

--[[
One entry of the change feed; its number is the issuer's own count, so that a missing one is noticed. `o` is how many octets were
told up to and with this entry: so the oldest says how many are kept. The newest entry always is.
]]
local function tell(length, stamp, payload)
  local feed = base .. 'feed'
  local number = redis.call('HINCRBY', meta, 'feed', 1)
  local octets = redis.call('HINCRBY', meta, 'feedOctets', #payload)
  local first = math.max(number - length + 1, 1)
  while first < number do
    local oldest = redis.call('XRANGE', feed, string.format('%.0f-0', first), '+', 'COUNT', 1)[1]
    if not oldest or octets - (tonumber(oldest[2][6]) - #oldest[2][4]) <= FEED_OCTETS then break end
    first = tonumber(string.match(oldest[1], '^%d+')) + 1
  end
  redis.call('XADD', feed, 'MINID', '=', string.format('%.0f-0', first), string.format('%.0f-0', number),
    's', stamp, 'e', payload, 'o', string.format('%.0f', octets))
end
