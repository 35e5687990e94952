--[[
The records of some buckets that are due for a refresh: read-only, so that the rest of a bucket does not cross the network.

ARGV: due up to (ms since 1900), then the buckets. Returns { serial, record, … }.
]]
local limit = tonumber(ARGV[1])
local due = {}
for i = 2, #ARGV do
  local records = redis.call('HGETALL', base .. 'b:' .. ARGV[i])
  for k = 2, #records, 2 do
    -- Octets 10 to 15 of a record (records.ts); all ones: never.
    if struct.unpack('>I6', records[k], 10) <= limit then
      due[#due + 1] = records[k - 1]
      due[#due + 1] = records[k]
    end
  end
end
return due
