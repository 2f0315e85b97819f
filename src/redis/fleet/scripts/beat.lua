-- A sign of life, with what was missed. KEYS: number, members, log, and what else is to be kept. ARGV: 2 member, 3 the
-- last number it has applied, 4 how long it counts as alive, 5 how long all of this is kept (milliseconds), 6 channel.
-- The answer: last number, whether records are missing, live members, the next records.
local number, applied = last_number(KEYS[1]), tonumber(ARGV[3])
local missing, records = applied > number, {}
if applied < number then
  missing = redis.call('LLEN', KEYS[3]) < number - applied
  if not missing then
    local from = applied - number
    records = redis.call('LRANGE', KEYS[3], from, math.min(from + 127, -1))
  end
end

local before, live, members = nil, 0, redis.call('HGETALL', KEYS[2])
for i = 1, #members, 2 do
  local known, till = string.match(members[i + 1], '^(%-?%d+) (%d+)$')
  if members[i] == ARGV[2] then
    before = tonumber(known)
  elseif tonumber(till) + 60000 < now then
    redis.call('HDEL', KEYS[2], members[i])
  elseif tonumber(till) >= now then
    live = live + 1
  end
end
local known = missing and -1 or applied
redis.call('HSET', KEYS[2], ARGV[2], string.format('%d %d', known, now + ARGV[4]))
if known ~= before then redis.call('PUBLISH', ARGV[6], 'a') end
for i = 1, #KEYS do redis.call('PEXPIRE', KEYS[i], ARGV[5]) end
return { number, missing and 1 or 0, live + 1, records }
