--[[
Makes a CRL current whose pieces are there (crl-pieces.ts): compare-and-swap on the number of the one before, and on the claim. That
the number grows is for the caller to see to.

ARGV: instance, number of the scope's current CRL as the caller knows it (empty: none), the caller's claim token (empty: it never
had one), record (JSON), octets of a piece, for how long the pieces of the one before are kept (ms), records that are kept, feed
length, feed payload.
Returns 'done', 'forgot', 'torn': a piece is not there, or 'differ': somebody else has published, or claimed, meanwhile.
]]
if instance() ~= ARGV[1] then return 'forgot' end
local record, piece_octets = cjson.decode(ARGV[4]), tonumber(ARGV[5])
local found = redis.call('HGET', base .. 'crl', record.shard)
local current = found and cjson.decode(found)
if (current and current.number or '') ~= ARGV[2] then return 'differ' end
local lease = read_lease('crl')
if ARGV[3] ~= '' then
  if not lease or lease.token ~= ARGV[3] then return 'differ' end
elseif lease and lease.expiry > server_ms() then
  return 'differ'
end

local function pieces(of)
  local prefix = base .. 'der:' .. of.shard .. ':' .. of.number .. ':' .. string.sub(of.sha256, 1, 16) .. ':'
  local keys = {}
  for i = 0, math.ceil(of.bytes / piece_octets) - 1 do keys[#keys + 1] = prefix .. i end
  return keys
end
local octets = 0
for _, key in ipairs(pieces(record)) do octets = octets + redis.call('STRLEN', key) end
if octets ~= record.bytes then return 'torn' end
for _, key in ipairs(pieces(record)) do redis.call('PERSIST', key) end
if current then
  for _, key in ipairs(pieces(current)) do redis.call('PEXPIRE', key, ARGV[6]) end
end

redis.call('HSET', base .. 'crl', record.shard, ARGV[4])
redis.call('LPUSH', base .. 'crls:' .. record.shard, ARGV[4])
redis.call('LTRIM', base .. 'crls:' .. record.shard, 0, ARGV[7] - 1)
tell(ARGV[8], 0, ARGV[9])
return 'done'
