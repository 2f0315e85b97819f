-- Tells every process something, and writes it down. KEYS: number, log, a hash or the log again. ARGV: 2 the record,
-- 3 how many records are kept, 4 for how long (milliseconds), 5 channel, 6 `set` or `seed` (what is there stays), then
-- fields and values of the hash, which become part of the record if they are written. The answer: the record's number.
local number, write = last_number(KEYS[1]), ARGV[6] == 'seed' and 'HSETNX' or 'HSET'
local parts = { ARGV[2] }
for i = 7, #ARGV, 2 do
  if redis.call(write, KEYS[3], ARGV[i], ARGV[i + 1]) == 1 or write == 'HSET' then
    parts[#parts + 1] = struct.pack('>I4c0I4c0', #ARGV[i], ARGV[i], #ARGV[i + 1], ARGV[i + 1])
  end
end
if write == 'HSETNX' and #parts == 1 then return number end
number = number + 1
redis.call('SET', KEYS[1], string.format('%d', number), 'PX', ARGV[4])
redis.call('RPUSH', KEYS[2], table.concat(parts))
redis.call('LTRIM', KEYS[2], -ARGV[3], -1)
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
redis.call('PUBLISH', ARGV[5], 'n')
return number
