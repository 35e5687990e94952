--[[
Many records in one reply. Read-only. ARGV: bucket, serial, … Returns the octets of each in order, empty for an absent one.
]]
local records = {}
for i = 1, #ARGV, 2 do
  records[#records + 1] = redis.call('HGET', base .. 'b:' .. ARGV[i], ARGV[i + 1]) or ''
end
return records
