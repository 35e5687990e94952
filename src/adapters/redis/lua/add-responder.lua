--[[
Adds a responder certificate and tells of it; one that is there already is left alone.

ARGV: instance, DER, feed length, feed payload. Returns 'done' or 'forgot'.
]]
if instance() ~= ARGV[1] then return 'forgot' end
if redis.call('SADD', base .. 'responders', ARGV[2]) == 1 then tell(ARGV[3], 0, ARGV[4]) end
return 'done'
