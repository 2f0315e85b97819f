-- Has every process begin anew, where this server knows less than one of them: it came back older than it was. KEYS:
-- number, log. ARGV: 2 the last number that process has applied, or was given for a record of its own, 3 the mark of the
-- last record it has applied, 4 a record, 5 how long the log is kept (milliseconds), 6 channel. The number goes above all
-- that were, and further than the new log reaches.
local number, applied = last_number(KEYS[1]), tonumber(ARGV[2])
if not knows_less(number, applied, ARGV[3]) then return number end
number = math.max(number, applied, now) + 2
redis.call('SET', KEYS[1], string.format('%d', number), 'PX', ARGV[5])
redis.call('DEL', KEYS[2])
redis.call('RPUSH', KEYS[2], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('PUBLISH', ARGV[6], 'n')
return number
