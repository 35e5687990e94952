--[[
Leases what is due, the longest due first: items of a lane, or buckets with certificates that are due for a refresh. A lease that
has expired by the server's clock is taken over; its token is replaced, and with the old one nothing can be ended any more.

ARGV: instance, key (`q:<lane>` or `due`), prefix of the lease fields, due up to, how many, lease in ms, holder.
Returns { member, score, token, … }; {'forgot'} from another instance.
]]
if instance() ~= ARGV[1] then return { 'forgot' } end
local queue, prefix, due, limit = base .. ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
-- What is leased stands in front, because it is due the longest: it is passed over, but not without end.
local PAGE, MOST = 256, 16384
local now = server_ms()
local taken, token = {}, nil
for from = 0, MOST, PAGE do
  if #taken >= 3 * limit then break end
  local found = redis.call('ZRANGEBYSCORE', queue, '-inf', due, 'WITHSCORES', 'LIMIT', from, PAGE)
  local fields = {}
  for i = 1, #found, 2 do fields[#fields + 1] = prefix .. ':' .. found[i] end
  local leases = #fields > 0 and redis.call('HMGET', base .. 'leases', unpack(fields)) or {}
  for i, field in ipairs(fields) do
    if #taken >= 3 * limit then break end
    if not leases[i] or tonumber(string.match(leases[i], '^%d+')) <= now then
      token = token or new_token()
      write_lease(field, now + tonumber(ARGV[6]), token, '0', ARGV[7])
      taken[#taken + 1] = found[2 * i - 1]
      taken[#taken + 1] = found[2 * i]
      taken[#taken + 1] = token
    end
  end
  if #found < 2 * PAGE then break end
end
return taken
