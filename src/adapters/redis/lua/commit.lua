--[[
Every change of certificates, answers and the queue: one atomic compare-and-swap over many records of one issuer. It decides
nothing: the caller has read the records, made the new ones, and says what it had read.

ARGV[1] holds these one after the other, each behind its length in four octets: as arguments of their own, those of a request of
10,000 certificates are more than a client can send. A list is its length and then its members:
  instance        as the caller knows it
  journal, seq    name of the journal and its record, or two empty strings: what is in already is not done again
  writer          the process that has the journal, drawn at its start
  takes           1: it has written nothing yet, and takes the name over from who had it before
  decided         1: decided on what is here now; else brought in again
  feedLength      entries that the feed keeps at most
  leases          field, token: without them nothing may be written
  writes          bucket, serial, expected octets (empty: absent), new octets, stamp? (1)
  queue           operation, lane, serial, token, dueAt
  due             bucket, bound
  removed         shard (empty: none), member of the revoked index
  added           shard, beginning and rest of a member of the revoked index: the stamp goes between them
  counts          kind, slot, difference
  payload         of the feed entry, or empty

Returns {'done', stamp}; or, with nothing changed, {'forgot'}: another instance; {'applied'}: the journal record is in;
{'displaced'}: another process writes under this name, so what is in under this number may be its record and not this one;
{'differ', 'value', i, octets | 'lease', i, '' …}: what stands where something else was expected, and which leases are lost, by index
in their lists.
]]
local packed, at = ARGV[1], 1
local function arg()
  local value
  value, at = struct.unpack('>I4c0', packed, at)
  return value
end
local function list(each)
  for i = 1, tonumber(arg()) do each(i) end
end

if instance() ~= arg() then return { 'forgot' } end

local journal, seq, writer, takes, decided = arg(), arg(), arg(), arg(), arg()
if journal ~= '' then
  local is_in = tonumber(redis.call('HGET', base .. 'applied', journal) or '0') >= tonumber(seq)
  local last = redis.call('HGET', base .. 'writers', journal)
  if last ~= writer then
    if (last and takes ~= '1') or (decided == '1' and is_in) then return { 'displaced' } end
    redis.call('HSET', base .. 'writers', journal, writer)
  end
  if is_in then return { 'applied' } end
end
local feed_length = arg()

local writes = {}
local stamping = false
local differ = { 'differ' }
local function mismatch(...)
  for _, value in ipairs({ ... }) do differ[#differ + 1] = value end
end
list(function(i)
  local field, token = arg(), arg()
  if not holds(field, token) then mismatch('lease', i, '') end
end)
list(function(i)
  local write = { bucket = base .. 'b:' .. arg(), serial = arg(), expected = arg(), value = arg(), stamped = arg() == '1' }
  writes[i] = write
  stamping = stamping or write.stamped
  local present = redis.call('HGET', write.bucket, write.serial) or ''
  if present ~= write.expected then mismatch('value', i, present) end
end)
if #differ > 1 then return differ end

-- recordedSeq: the issuer's count of recorded changes, octets 5 to 9 of a record (records.ts).
local stamp = 0
if stamping then stamp = redis.call('HINCRBY', meta, 'seq', 1) end
local stamp_octets = struct.pack('>I5', stamp)
for _, write in ipairs(writes) do
  local value = write.value
  if write.stamped then value = string.sub(value, 1, 4) .. stamp_octets .. string.sub(value, 10) end
  redis.call('HSET', write.bucket, write.serial, value)
end

list(function()
  local operation, lane, serial, token, due = arg(), arg(), arg(), arg(), arg()
  local queue, field = base .. 'q:' .. lane, lane .. ':' .. serial
  local lease = read_lease(field)
  if operation == 'insert' then
    -- LT: what waits already keeps the time since which it waits.
    redis.call('ZADD', queue, 'LT', due, serial)
    if lease then write_lease(field, lease.expiry, lease.token, '1', lease.holder) end
  elseif lease and lease.token == token then
    redis.call('HDEL', base .. 'leases', field)
    if operation == 'end' and lease.again == '0' then redis.call('ZREM', queue, serial) end
    if operation == 'postpone' and lease.again == '0' then redis.call('ZADD', queue, 'XX', due, serial) end
  end
end)
list(function()
  local bucket, bound = arg(), arg()
  redis.call('ZADD', base .. 'due', 'LT', bound, bucket)
end)
list(function()
  local shard, member = arg(), arg()
  redis.call('ZREM', base .. 'r', member)
  if shard ~= '' then redis.call('ZREM', base .. 'r:' .. shard, member) end
end)
list(function()
  local shard, beginning, rest = arg(), arg(), arg()
  local member = beginning .. stamp_octets .. rest
  redis.call('ZADD', base .. 'r', 0, member)
  if shard ~= '' then redis.call('ZADD', base .. 'r:' .. shard, 0, member) end
end)
list(function()
  local kind, slot, difference = arg(), arg(), arg()
  local count = redis.call('HINCRBY', base .. 'counts', kind .. slot, difference)
  if count == 0 then
    redis.call('HDEL', base .. 'counts', kind .. slot)
    if slot ~= '' then redis.call('ZREM', base .. 'n:' .. kind, slot) end
  elseif slot ~= '' and count == tonumber(difference) then
    redis.call('ZADD', base .. 'n:' .. kind, slot, slot)
  end
end)

local payload = arg()
if payload ~= '' then tell(feed_length, stamp, payload) end
if journal ~= '' then redis.call('HSET', base .. 'applied', journal, seq) end
return { 'done', stamp }
