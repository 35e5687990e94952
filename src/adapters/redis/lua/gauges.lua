--[[
What the gauges show, without a scan of the certificates. Read-only.

ARGV: how many items or slots of each kind at most.
Returns { revocation, issue, mass, due, least minute of thisUpdate, least minute of nextUpdate, published answers }; each of the first
four is { total, slot, count, … }: of a lane each of the longest waiting items counts 1 at its due time, of the refresh lane
the minutes stand with their counts.
]]
local last = tonumber(ARGV[1]) - 1
local function lane(name)
  local queue = base .. 'q:' .. name
  local found = { redis.call('ZCARD', queue) }
  local items = redis.call('ZRANGE', queue, 0, last, 'WITHSCORES')
  for i = 2, #items, 2 do
    found[#found + 1] = items[i]
    found[#found + 1] = '1'
  end
  return found
end
local function count(field)
  return redis.call('HGET', base .. 'counts', field) or '0'
end
local due = { count('due') }
for _, minute in ipairs(redis.call('ZRANGE', base .. 'n:due', 0, last)) do
  due[#due + 1] = minute
  due[#due + 1] = count('due' .. minute)
end
return {
  lane('revocation'), lane('issue'), lane('mass'), due,
  redis.call('ZRANGE', base .. 'n:thisUpdate', 0, 0)[1] or '',
  redis.call('ZRANGE', base .. 'n:nextUpdate', 0, 0)[1] or '',
  count('answers'),
}
