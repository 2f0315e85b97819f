-- Tells every process something, and writes it down. KEYS: number, log, a hash or the log again. ARGV: 2 the record,
-- 3 how many records are kept, 4 for how long (milliseconds), 5 channel, 6 `set` or `repair`, then fields and values of the
-- hash, which become part of the record if they are written. A value begins with its version: the greatest of a field
-- counts. With `set` it is made here and is the next; with `repair` it is given. The answer: the record's number, the version.
local number, repairs = last_number(KEYS[1]), ARGV[6] == 'repair'
local parts, version = { ARGV[2] }, time[1] * 1000000 + time[2]
local stored = {}
for i = 7, #ARGV, 2 do
  local value = redis.call('HGET', KEYS[3], ARGV[i])
  stored[i] = value and #value >= 7 and struct.unpack('>I7', value) or 0
  version = math.max(version, stored[i] + 1)
end
for i = 7, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  if not repairs then value = struct.pack('>I7', version) .. value end
  if not repairs or struct.unpack('>I7', value) > stored[i] then
    redis.call('HSET', KEYS[3], field, value)
    parts[#parts + 1] = struct.pack('>I4c0I4c0', #field, field, #value, value)
  end
end
if repairs and #parts == 1 then return { number, 0 } end
number = number + 1
redis.call('SET', KEYS[1], string.format('%d', number), 'PX', ARGV[4])
redis.call('RPUSH', KEYS[2], table.concat(parts))
redis.call('LTRIM', KEYS[2], -ARGV[3], -1)
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
redis.call('PUBLISH', ARGV[5], 'n')
return { number, version }
