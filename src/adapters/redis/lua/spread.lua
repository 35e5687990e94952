--[[
How the times of all published answers are spread, by minute: the earliest minutes with their counts, and the minutes by which the
asked shares of all of them lie. Read-only, and not for every second: it looks at each minute (four days of answers: some milliseconds).

ARGV: how many of the earliest minutes at most; the shares, in millionths.
Returns { answers, of thisUpdate, of nextUpdate }, the latter two each { minutes there are, earliest minute, count, …, minute of each share }.
]]
local known = tonumber(ARGV[1])
local shares = {}
for i = 2, #ARGV do shares[#shares + 1] = tonumber(ARGV[i]) / 1000000 end

local CHUNK = 1000
local function spread(kind)
  local minutes = redis.call('ZRANGE', base .. 'n:' .. kind, 0, -1)
  local counts, total = {}, 0
  for first = 1, #minutes, CHUNK do
    local fields = {}
    for i = first, math.min(first + CHUNK - 1, #minutes) do fields[#fields + 1] = kind .. minutes[i] end
    for i, count in ipairs(redis.call('HMGET', base .. 'counts', unpack(fields))) do
      counts[first + i - 1] = tonumber(count or '0') or 0
      total = total + counts[first + i - 1]
    end
  end
  local found = { #minutes }
  for i = 1, math.min(known, #minutes) do
    found[#found + 1] = minutes[i]
    found[#found + 1] = string.format('%.0f', counts[i])
  end
  for _, share in ipairs(shares) do
    local left, at = math.max(1, math.ceil(share * total)), ''
    for i = 1, #minutes do
      left = left - counts[i]
      at = minutes[i]
      if left <= 0 then break end
    end
    found[#found + 1] = at
  end
  return found
end

return { redis.call('HGET', base .. 'counts', 'answers') or '0', spread('thisUpdate'), spread('nextUpdate') }
