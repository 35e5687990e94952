--[[
Ends the leases of buckets, and says when each is due again: exactly, from its records. Commits only ever lower that bound.

ARGV: bucket, token, … A lease that somebody else has now is left to them.
]]
local NEVER = 281474976710655
for i = 1, #ARGV, 2 do
  local bucket, token = ARGV[i], ARGV[i + 1]
  if holds('refresh:' .. bucket, token) then
    local least = NEVER
    for _, record in ipairs(redis.call('HVALS', base .. 'b:' .. bucket)) do
      local due = struct.unpack('>I6', record, 10)
      if due < least then least = due end
    end
    if least == NEVER then
      redis.call('ZREM', base .. 'due', bucket)
    else
      redis.call('ZADD', base .. 'due', string.format('%.0f', least), bucket)
    end
    redis.call('HDEL', base .. 'leases', 'refresh:' .. bucket)
  end
end
return 1
