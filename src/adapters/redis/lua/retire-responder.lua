--[[
Writes down that a responder certificate is retired, and tells of it. Twice changes nothing; `nothing` goes beyond `answers`, never
back.

ARGV: instance, id, use, feed length, feed payload, then the DER of the certificates that leave the shelf. Returns 'done' or 'forgot'.
]]
if instance() ~= ARGV[1] then return 'forgot' end
local known = redis.call('HGET', base .. 'retired', ARGV[2])
if known == ARGV[3] or known == 'nothing' then return 'done' end
redis.call('HSET', base .. 'retired', ARGV[2], ARGV[3])
for i = 6, #ARGV do redis.call('SREM', base .. 'responders', ARGV[i]) end
tell(ARGV[4], 0, ARGV[5])
return 'done'
