-- A sign of life, with what was missed. KEYS: number, log, members, and what else is to be kept. ARGV: 2 the last number
-- it has applied, 3 that record's mark or empty, 4 member, 5 how long it counts as alive, 6 how long all of this is kept
-- (milliseconds), 7 channel. The answer: last number, standing (0 in step, 1 records are missing, 2 this server knows
-- less), live members, the last record's mark, the next records.
local number, applied = last_number(KEYS[1]), tonumber(ARGV[2])
local standing, records = 0, {}
if knows_less(number, applied, ARGV[3]) then
  standing = 2
elseif redis.call('LLEN', KEYS[2]) < number - applied then
  standing = 1
elseif applied < number then
  local from = applied - number
  records = redis.call('LRANGE', KEYS[2], from, math.min(from + 127, -1))
end

local before, live, members = nil, 0, redis.call('HGETALL', KEYS[3])
for i = 1, #members, 2 do
  local known, till = string.match(members[i + 1], '^(%-?%d+) (%d+)$')
  if members[i] == ARGV[4] then
    before = tonumber(known)
  elseif tonumber(till) + 60000 < now then
    redis.call('HDEL', KEYS[3], members[i])
  elseif tonumber(till) >= now then
    live = live + 1
  end
end
local known = standing == 0 and applied or -1
redis.call('HSET', KEYS[3], ARGV[4], string.format('%d %d', known, now + ARGV[5]))
if known ~= before then redis.call('PUBLISH', ARGV[7], 'a') end
for i = 1, #KEYS do redis.call('PEXPIRE', KEYS[i], ARGV[6]) end
return { number, standing, live + 1, mark_of(redis.call('LINDEX', KEYS[2], -1)), records }
