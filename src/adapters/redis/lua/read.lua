--[[
Many records in one reply. Read-only. One argument and one value, because a client spends more on each argument and each value
than on what is in it.

ARGV[1]: for each record its bucket (4 octets), the length of the serial (1) and the serial.
Returns for each, in order, the length of the record (4 octets) and the record; of an absent one the length 0.
]]
local places, records = ARGV[1], {}
local at = 1
while at <= #places do
  local bucket, serial
  bucket, serial, at = struct.unpack('>I4Bc0', places, at)
  local record = redis.call('HGET', base .. 'b:' .. bucket, serial) or ''
  records[#records + 1] = struct.pack('>I4c0', #record, record)
end
return table.concat(records)
