--[[
The records of some buckets that are due for a refresh: read-only, so that the rest of a bucket does not cross the network.

ARGV: due up to (ms since 1900), then the buckets.
Returns { { serial, record, … }, { when the next in each bucket is due, in their order; all ones: never } }.
]]
local NEVER = 281474976710655
local limit = tonumber(ARGV[1])
local due, after = {}, {}
for i = 2, #ARGV do
  local records = redis.call('HGETALL', base .. 'b:' .. ARGV[i])
  local least = NEVER
  for k = 2, #records, 2 do
    -- Octets 10 to 15 of a record (records.ts).
    local at = struct.unpack('>I6', records[k], 10)
    if at <= limit then
      due[#due + 1] = records[k - 1]
      due[#due + 1] = records[k]
    elseif at < least then
      least = at
    end
  end
  after[i - 1] = string.format('%.0f', least)
end
return { due, after }
