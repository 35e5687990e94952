--[[
The sign of life of a process that writes: the server's own time, so that whoever reads it on the wrong side of a partition sees
it grow old. ARGV: name.
]]
redis.call('HSET', base .. 'beat', ARGV[1], string.format('%.0f', server_ms()))
return 1
